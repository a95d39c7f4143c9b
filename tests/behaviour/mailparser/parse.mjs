// Reads a message from stdin, and says as JSON what mailparser finds in it.
import { createHash } from "node:crypto";
import { simpleParser } from "mailparser";

const parsed = await simpleParser(process.stdin, { skipImageLinks: true });
const people = (list) => (list?.value ?? []).map((one) => [one.name, one.address]);
console.log(
  JSON.stringify({
    headers: parsed.headerLines.map((line) => line.key),
    subject: parsed.subject,
    from: people(parsed.from),
    to: people(parsed.to),
    text: parsed.text,
    html: parsed.html,
    attachments: parsed.attachments.map((file) => ({
      name: file.filename,
      type: file.contentType,
      cid: file.cid ?? "",
      inline: file.contentDisposition === "inline",
      related: file.related,
      sha256: createHash("sha256").update(file.content).digest("hex"),
    })),
  }),
);

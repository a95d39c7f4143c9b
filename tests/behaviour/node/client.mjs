// A client in another language: @grpc/grpc-js with the proto files as they are.
//
//   node client.mjs ADDRESS TOKEN PROTO_DIR...
//
// Makes an account for the relay at the port in RELAY_PORT, follows the delivery reports,
// submits a message and a batch, reads a rich error, and prints what it saw as JSON.
import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'

const [address, token, ...includeDirs] = process.argv.slice(2)
const files = ['account', 'message', 'report', 'queue'].map(name => `mailproxy/v1/${name}.proto`)
const shape = { includeDirs, keepCase: true, longs: String, enums: String, defaults: true, oneofs: true }
const { mailproxy } = grpc.loadPackageDefinition(protoLoader.loadSync(files, shape))

const open = service => new mailproxy.v1[service](address, grpc.credentials.createInsecure())
const accounts = open('AccountService')
const messages = open('MessageService')
const reports = open('ReportService')

const metadata = new grpc.Metadata()
metadata.set('authorization', `Bearer ${token}`)

const call = (client, method, request) =>
  new Promise((resolve, reject) => {
    const deadline = Date.now() + 30_000
    client[method](request, metadata, { deadline }, (error, response) =>
      error ? reject(error) : resolve(response))
  })

const email = (...to) => ({
  account_id: 'node',
  composed: {
    from_address: { address: 'shop@a.test', display_name: 'Grüße' },
    to: to.map(address => ({ address })),
    subject: 'Grüße from Node',
    text_body: 'It is on its way.',
    attachments: [{ filename: 'a.bin', content: Buffer.from([0, 255]) }],
  },
})

await call(accounts, 'ManageAccount', {
  action: 'ACCOUNT_ACTION_UPDATE',
  allow_missing: true,
  account: {
    account_id: 'node', host: '127.0.0.1', port: Number(process.env.RELAY_PORT),
    tls: 'TLS_MODE_NONE',
  },
})

const stream = reports.StreamDeliveryReports({ selector: { account_id: 'node' } }, metadata)
const seen = []
const finals = new Promise((resolve, reject) => {
  stream.on('error', error => error.code === grpc.status.CANCELLED || reject(error))
  stream.on('data', response => {
    seen.push(...response.reports)
    if (seen.filter(report => report.final).length >= 4) resolve()
  })
})

const one = await call(messages, 'SubmitMessage', {
  email: email('ann@b.test', '550@b.test'), request_id: `node-${process.pid}`,
})
const again = await call(messages, 'SubmitMessage', {
  email: email('ann@b.test', '550@b.test'), request_id: `node-${process.pid}`,
})
const batch = await call(messages, 'SubmitMessages', {
  requests: [{ email: email('bob@b.test') }, { email: email() }, { email: email('eve@b.test') }],
})
const refused = await call(messages, 'SubmitMessage', { email: email('x, a@b.test') })
  .catch(error => error)
await finals
stream.cancel()

const details = refused.metadata.get('grpc-status-details-bin')[0]
console.log(JSON.stringify({
  one, again, batch, seen,
  refused: { code: refused.code, message: refused.details, status: details.toString('base64') },
}))
for (const client of [accounts, messages, reports]) client.close()

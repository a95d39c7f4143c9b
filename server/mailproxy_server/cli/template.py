"""`mailproxy template`: what messages are made of, kept on the server."""

import json
from typing import Annotated, Any

import typer
from mailproxy.templates import TemplateFields

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

TemplateId = Annotated[str, typer.Argument(help="The template's id.")]
Subject = Annotated[str | None, typer.Option(help="The Subject, in Jinja2.")]
TextFile = Annotated[str | None, typer.Option(help="The text body, from a file; - is stdin.")]
HtmlFile = Annotated[str | None, typer.Option(help="The HTML body, from a file; - is stdin.")]
Variable = Annotated[
    list[str] | None,
    typer.Option(help="A variable that messages have to give. Repeat. Default: those it uses."),
]
Etag = Annotated[str, typer.Option(help="Only if the template still has this etag.")]
Given = Annotated[
    list[str] | None, typer.Option("--var", help="name=value, a text; repeat for more.")
]
VariablesFile = Annotated[
    str | None, typer.Option(help="A JSON object of variables, from a file; - is stdin.")
]
Part = Annotated[str | None, typer.Option(help="Only this: subject, text or html.")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Keep and try out templates.", no_args_is_help=True)
    group.command("set", epilog=options.EXIT_CODES)(set_)
    group.command("list", epilog=options.EXIT_CODES)(list_)
    for command in (show, render, delete):
        group.command(epilog=options.EXIT_CODES)(command)
    app.add_typer(group, name="template")


def set_(
    template_id: TemplateId,
    subject: Subject = None,
    text_file: TextFile = None,
    html_file: HtmlFile = None,
    variable: Variable = None,
    etag: Etag = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Make a template, or change what is given of one that there is."""
    fields = TemplateFields()
    if subject is not None:
        fields["subject"] = subject
    if text_file is not None:
        fields["text_body"] = options.read(text_file, "--text-file")
    if html_file is not None:
        fields["html_body"] = options.read(html_file, "--html-file")
    if variable:
        fields["variables"] = variable
    if not fields:
        raise typer.BadParameter("say what to set; see --help")
    with connected("template set", target, token_file) as client:
        kept = client.update_template(template_id, allow_missing=True, etag=etag, **fields)
    if as_json:
        output.print_json(output.as_json(kept))
    else:
        print(f"{kept.template_id} takes {', '.join(kept.variables) or 'no variables'}")


def show(
    template_id: TemplateId,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show a template as it is kept."""
    with connected("template show", target, token_file) as client:
        kept = client.get_template(template_id)
    if as_json:
        output.print_json(output.as_json(kept))
        return
    print(f"Variables: {', '.join(kept.variables) or 'none'}")
    _print(kept.subject, kept.text_body, kept.html_body, None)


def list_(
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """List the templates."""
    with connected("template list", target, token_file) as client:
        found = client.list_templates()
    if as_json:
        output.print_json({"templates": [output.as_json(each) for each in found]})
        return
    rows = ((each.template_id, each.subject, ", ".join(each.variables)) for each in found)
    output.print_table("Templates", ("template", "subject", "variables"), rows)
    if not found:
        print("There is none. Try: mailproxy template set ID --subject Hi --text-file body.txt")


def render(
    template_id: TemplateId,
    var: Given = None,
    variables_file: VariablesFile = None,
    part: Part = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show what a message from a template would hold; sends nothing."""
    variables = variables_of(var, variables_file)
    with connected("template render", target, token_file) as client:
        made = client.render_template(template_id, variables)
    if as_json:
        output.print_json(output.as_json(made))
    else:
        _print(made.subject, made.text_body, made.html_body, part)


def delete(
    template_id: TemplateId,
    etag: Etag = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Remove a template; what was submitted with it is sent all the same."""
    with connected("template delete", target, token_file) as client:
        deleted = client.delete_template(template_id, etag=etag)
    if as_json:
        output.print_json(output.as_json(deleted))
    else:
        print(f"Deleted {template_id}")


def variables_of(var: list[str] | None, path: str | None) -> dict[str, Any]:
    """Give the variables that were given one by one, and those of a file."""
    variables: dict[str, Any] = {}
    if path is not None:
        try:
            variables = json.loads(options.read(path, "--variables-file"))
        except ValueError as error:
            raise typer.BadParameter(f"not JSON: {error}", param_hint="--variables-file") from None
        if not isinstance(variables, dict):
            raise typer.BadParameter("not a JSON object", param_hint="--variables-file")
    return variables | (options.pairs(var) or {})


def _print(subject: str, text: str, html: str, part: str | None) -> None:
    parts = {"subject": subject, "text": text, "html": html}
    if part is not None:
        if part not in parts:
            raise typer.BadParameter("is subject, text or html", param_hint="--part")
        print(parts[part])
        return
    print(f"Subject: {output.clean(subject)}")
    for name, body in (("text", text), ("HTML", html)):
        if body:
            print(f"--- {name}\n{body.rstrip()}")

"""Where attachments come from: a module a kind of source, all behind `source.Source`.

Here, and nowhere else in `content`, something is awaited. What comes is streamed into a `Spool`.
"""

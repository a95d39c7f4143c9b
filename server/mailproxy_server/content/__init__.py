"""What a message says: its checks on the way in, its form in the queue, its MIME on the way out.

Pure: bytes, protobuf messages and arguments in, plain data out; `mailproxy.v1` is allowed.
"""

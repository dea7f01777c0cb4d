"""The server: connections on asyncio's transports, below any application.

Owns: nothing itself; floor 4 (body, deadlines, flow, sending, protocol) serves one connection, floor 5 (server)
listens and stops.
Must not know: applications and routes. A handler is any `async (Request) -> Response`.
Invariant: importing it imports asyncio and nothing of the extras.
"""

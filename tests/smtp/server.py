"""A mail server and a mail reader that are not ours, for the tests in tests/it/notify/smtp.rs.

server.py serve FOLDER CERTIFICATE KEY (starttls|plain)
    Listens on a free port of 127.0.0.1 and prints it. `starttls` offers STARTTLS and takes mail only after a login
    as `watcher` with the password `correct horse`; `plain` offers neither. Every mail goes into FOLDER, as 0.eml and
    so on, with what is known of its sender in 0.json.

server.py read FILE
    Prints what Python's email package finds in a mail, as JSON.
"""

import asyncio
import base64
import email
import json
import pathlib
import ssl
import struct
import sys
from email import policy


def serve(folder, certificate, key, mode):
    from aiosmtpd.smtp import SMTP, AuthResult

    class Folder:
        count = 0

        async def handle_DATA(self, server, session, envelope):
            path = pathlib.Path(folder)
            known = {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "tls": session.ssl is not None,
                "authenticated": session.authenticated,
            }
            (path / f"{self.count}.json").write_text(json.dumps(known))
            (path / f"{self.count}.eml").write_bytes(envelope.original_content)
            self.count += 1
            return "250 accepted"

    def login(server, session, envelope, mechanism, data):
        right = (data.login, data.password) == (b"watcher", b"correct horse")
        # Not `handled`: the server says 535 itself.
        return AuthResult(success=right, handled=False)

    handler = Folder()
    settings = {"hostname": "127.0.0.1", "enable_SMTPUTF8": True}
    if mode == "starttls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        settings |= {"tls_context": context, "require_starttls": True, "authenticator": login, "auth_required": True}

    async def run():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, **settings), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


def read(path):
    mail = email.message_from_bytes(pathlib.Path(path).read_bytes(), policy=policy.default)
    headers = {name: str(mail[name]) for name in mail.keys()}
    parts = []
    for part in mail.walk():
        found = {"type": part.get_content_type(), "defects": [repr(d) for d in part.defects]}
        if part.get_content_maintype() == "text":
            found["text"] = part.get_content()
        if part.get_content_type() == "image/png":
            data = part.get_content()
            found["id"] = part["Content-ID"]
            found["disposition"] = part.get_content_disposition()
            found["size"] = struct.unpack(">II", data[16:24])
            found["start"] = base64.b64encode(data[:8]).decode()
        parts.append(found)
    json.dump({"headers": headers, "parts": parts}, sys.stdout)


if __name__ == "__main__":
    {"serve": serve, "read": read}[sys.argv[1]](*sys.argv[2:])

"""Signs a request anew for another host: the embedded store answers its own address only, and a proxy has another."""
import hashlib
import hmac
import re
import urllib.parse


class Resigner:
    """Called with a request's head, gives the head to send to the store. Only a signature that was there is replaced; one that
    was wrong stays wrong, since the access key and the list of signed headers are taken over, and a tampered header is not."""

    def __init__(self, s3, proxy_host):
        self.s3, self.proxy_host = s3, proxy_host

    def _sign(self, method, path, pairs, signed, headers, payload, stamp, scope):
        names = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in sorted(pairs))
        canonical = "\n".join([method, path, names,
                               *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.split(";")), "", signed,
                               payload])
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.s3.secret_key).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def __call__(self, head, changed=lambda text: text):
        """changed: what becomes of the path and of a copy's source on the way."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ", 2)
        path, _, query = target.partition("?")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        values, headers = dict(pairs), {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        old = dict(headers, host=self.proxy_host)
        new = dict(headers, host=self.s3.host)
        if "x-amz-copy-source" in new:
            new["x-amz-copy-source"] = changed(new["x-amz-copy-source"])
        new_path = changed(path)
        target = new_path + target[len(path):]
        lines = [f"{line.split(':')[0]}: {new[line.split(':')[0].lower()]}"
                 if line.lower().startswith(("host:", "x-amz-copy-source:")) else line for line in lines]
        if "X-Amz-Signature" in values:
            unsigned = [(k, v) for k, v in pairs if k != "X-Amz-Signature"]
            scope = values["X-Amz-Credential"].split("/", 1)[1]
            what = (values["X-Amz-SignedHeaders"], "UNSIGNED-PAYLOAD", values["X-Amz-Date"], scope)
            if self._sign(method, path, unsigned, what[0], old, *what[1:]) == values["X-Amz-Signature"]:
                signature = self._sign(method, new_path, unsigned, what[0], new, *what[1:])
                target = target.replace(values["X-Amz-Signature"], signature)
        elif "authorization" in headers:
            found = re.match(r"AWS4-HMAC-SHA256 Credential=[^/]+/([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)",
                             headers["authorization"])
            what = (found.group(2), headers["x-amz-content-sha256"], headers["x-amz-date"], found.group(1))
            if self._sign(method, path, pairs, what[0], old, *what[1:]) == found.group(3):
                signature = self._sign(method, new_path, pairs, what[0], new, *what[1:])
                lines = [line.replace(found.group(3), signature) for line in lines]
        return "\r\n".join([f"{method} {target} {version}", *lines]).encode("latin-1")

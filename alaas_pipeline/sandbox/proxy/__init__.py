"""Uploads of the official client, which sends files to known hosts of cloud storage alone, by HTTPS, on no port of its own.

So that it can be used as it is, presigned URLs name two of those hosts, and a proxy on loopback leads these two names,
and no other, to this sandbox's storage behind TLS. The certificate comes from an authority that is made for one run of
the server and whose key is never written down.
"""

FORM_HOST = "sandbox.s3.amazonaws.com"
PUT_HOST = "data.avala.ai"
HOSTS = (PUT_HOST, FORM_HOST)

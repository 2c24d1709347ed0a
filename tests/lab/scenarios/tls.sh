# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the TLS layer itself complains of. The path is without fault.
group tls

# Postfix at `may` still talks to such a server, so the probe does.
scenario tls-1.0-only "TLS 1.0 and nothing newer, behind STARTTLS"
server fake chain tls-1.0
expect id=healthy protocol=TLSv1 inbound=1500

# Without an opinion on certificates, two Postfix agree on a cipher without any: nothing fills a packet.
scenario tls-1.2-only "TLS 1.2 and nothing newer"
server postfix tls-1.2
expect id=healthy protocol=TLSv1.2

scenario tls-1.3-only "TLS 1.3 and nothing older"
server postfix tls-1.3
expect id=healthy protocol=TLSv1.3 inbound=1500

# Older than anything that OpenSSL still speaks, or newer than anything it knows.
scenario no-version-in-common "alert 70: no TLS version suits the server"
server fake chain alert 70
expect id=tls-protocol-mismatch severity=critical

scenario insufficient-security "alert 71: the server wants stronger ciphers"
server fake chain alert 71
expect id=tls-no-shared-cipher severity=critical

# An RSA key, and only ciphers that need an ECDSA key.
scenario no-shared-cipher "no cipher in common"
server s_server chain -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
expect id=tls-no-shared-cipher severity=critical

scenario client-certificate-wanted "wants a certificate of ours and ends with an alert"
server s_server chain -tls1_2 -Verify 1 -verify_return_error
expect id=tls-alert severity=critical

scenario internal-error "alert 80: the server has trouble of its own"
server fake chain alert 80
expect id=tls-alert severity=critical

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Certificates at fault, from a real Postfix. At the default floor nobody asks the trust store, so all are notices.
group certificates

certificate() {
  scenario "certificate-$1" "$2"
  server postfix "$3"
  expect "id=certificate-$1" severity=notice "${@:4}"
}
certificate expired "a leaf that ended in 2020" expired inbound=1500
certificate not-yet-valid "a leaf that begins in 2090" early inbound=1500
certificate untrusted "a chain to a root that nobody knows" untrusted inbound=1500
certificate incomplete-chain "the leaf alone, without its issuer" incomplete inbound=1500
certificate name-mismatch "a certificate of another host" other inbound=1500
certificate weak "a key of 1024 bits" weak inbound=1500
# Too short to fill a packet: how large one may be stays open.
certificate self-signed "a leaf signed by itself" self

scenario certificate-good "a whole chain for the right name"
expect id=healthy findings=

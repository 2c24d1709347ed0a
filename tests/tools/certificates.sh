# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Certificates for tests, good and bad ones. Sourced; needs openssl(1).
#
# certificates_in DIR makes these, for the server mail.example.org:
#   root.pem                 the trust anchor
#   chain.pem                leaf, intermediate and root
#   expired.pem              the same with a leaf of last year
#   early.pem                the same with a leaf of a later year
#   other.pem                a chain for the name other.example.org
#   incomplete.pem           the leaf alone
#   untrusted.pem            a chain that ends at another root
#   self.pem                 a leaf signed by itself
#   weak.pem                 a chain whose leaf has an RSA key of 1024 bits
#   *.key                    chain.key, weak.key ...: the key of the leaf of the same name
#   *.both                   key and chain in one file, as Postfix likes it
#
# CERTIFICATE_MORE_NAMES (0) says how many hosts' names the leaf has beside its own: with 50 a chain fills several packets.
# TEST_CERTIFICATES, if set, is a directory that the tests of one run share: keys take seconds, and each kind is made once.

certificates_in() (
  set -e
  if [ -n "${TEST_CERTIFICATES:-}" ]; then
    shared=$TEST_CERTIFICATES/${CERTIFICATE_MORE_NAMES:-0}
    mkdir -p "$shared"
    exec 9>"$shared.lock"
    flock 9
    [ -e "$shared/made" ] || { make_certificates_in "$shared"; : >"$shared/made"; }
    cp "$shared"/* "$1"
  else
    make_certificates_in "$1"
  fi
)

make_certificates_in() (
  cd "$1" || exit
  log=openssl.log
  certificate_of_authority root '/O=Example Root/CN=Example Root CA'
  certificate_of_authority stranger '/O=Example Stranger/CN=Example Stranger CA'
  openssl req -newkey rsa:2048 -nodes -keyout inter.key -out inter.csr \
    -subj '/O=Example/CN=Example Intermediate CA' 2>>"$log"
  printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' >ca.ext
  certificate_signed inter inter root ca.ext

  names=DNS:mail.example.org
  for i in $(seq 1 "${CERTIFICATE_MORE_NAMES:-0}"); do names+=,DNS:host-$i.customers.example.org; done
  echo "subjectAltName=$names" >leaf.ext
  echo 'subjectAltName=DNS:other.example.org' >other.ext

  openssl genrsa -out leaf.key 2048 2>>"$log"
  openssl genrsa -out weak.key 1024 2>>"$log"
  openssl req -new -key leaf.key -out leaf.csr -subj '/CN=mail.example.org' 2>>"$log"
  openssl req -new -key leaf.key -out other.csr -subj '/CN=other.example.org' 2>>"$log"
  openssl req -new -key weak.key -out weak.csr -subj '/CN=mail.example.org' 2>>"$log"
  certificate_signed leaf leaf inter leaf.ext
  certificate_signed weak.leaf weak inter leaf.ext
  certificate_signed other.leaf other inter other.ext
  certificate_signed untrusted.leaf leaf stranger leaf.ext
  certificate_dated expired.leaf 20200101000000Z 20200201000000Z
  certificate_dated early.leaf 20900101000000Z 20910101000000Z

  cat leaf.pem inter.pem root.pem >chain.pem
  cat weak.leaf.pem inter.pem root.pem >weak.pem
  cat other.leaf.pem inter.pem root.pem >other.pem
  cat expired.leaf.pem inter.pem root.pem >expired.pem
  cat early.leaf.pem inter.pem root.pem >early.pem
  cat untrusted.leaf.pem stranger.pem >untrusted.pem
  cp leaf.pem incomplete.pem
  openssl req -x509 -key leaf.key -out self.pem -days 30 -subj '/CN=mail.example.org' \
    -addext 'subjectAltName=DNS:mail.example.org' 2>>"$log"
  for name in chain expired early other incomplete untrusted self; do cp leaf.key "$name.key"; done
  for name in chain expired early other incomplete untrusted self weak; do
    cat "$name.key" "$name.pem" >"$name.both"
  done
)

certificate_of_authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "$2" 2>>"$log"
}

# certificate_signed NAME REQUEST ISSUER EXTENSIONS
certificate_signed() {
  openssl x509 -req -in "$2.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -days 30 -extfile "$4" \
    -out "$1.pem" 2>>"$log"
}

# certificate_dated NAME START END: x509(1) knows no dates, ca(1) does.
certificate_dated() {
  : >index.txt
  cat >ca.cnf <<'CNF'
[ca]
default_ca = test
[test]
database = index.txt
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
CNF
  openssl ca -batch -notext -outdir . -config ca.cnf -cert inter.pem -keyfile inter.key -in leaf.csr \
    -extfile leaf.ext -startdate "$2" -enddate "$3" -out "$1.pem" 2>>"$log"
}

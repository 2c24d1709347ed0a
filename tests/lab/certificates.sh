#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the certificates that the labs of one run share:
#   certificates.sh DIR
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf "$1"
LAB_CERTIFICATES='' lab_certificates "$1"
openssl verify -CAfile "$1/root.pem" -untrusted "$1/inter.pem" "$1/leaf.pem"

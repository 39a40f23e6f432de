#!/bin/sh
# Make a keystore with an enclave for every policy beside this script. Needs the ROS 2 package sros2.
# Usage: security/make_keystore.sh KEYSTORE
set -eu
umask 077  # private keys
keystore=${1:?usage: make_keystore.sh KEYSTORE}
policies=$(dirname "$0")/policies

[ -d "$keystore/enclaves" ] || ros2 security create_keystore "$keystore"
for policy in "$policies"/*.xml; do
  enclave=/$(basename "$policy" .xml)
  [ -d "$keystore/enclaves$enclave" ] || ros2 security create_enclave "$keystore" "$enclave"
  ros2 security create_permission "$keystore" "$enclave" "$policy"
done

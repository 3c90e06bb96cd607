#!/bin/sh
# Two steps of an image's build:
#   install.sh packages LOCK   what the service needs, into /opt/assay
#   install.sh finish NAME     our wheels; a list of all packages; no tools that install others
set -eu
case $1 in
packages)
    python -m venv /opt/assay
    /opt/assay/bin/pip install --no-deps --require-hashes -r "$2"
    ;;
finish)
    /opt/assay/bin/pip install --no-deps /wheels/*.whl
    /opt/assay/bin/pip uninstall --yes setuptools pip
    version=$(/opt/assay/bin/python -c 'from importlib.metadata import version; print(version("assay-services"))')
    /opt/assay/bin/python inventory.py "assay/$2" "$version" /opt/assay/share/assay
    ;;
esac

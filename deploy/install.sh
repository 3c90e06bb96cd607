#!/bin/sh
# Two steps of an image's build:
#   install.sh packages LOCK   what the service needs, into /opt/assay
#   install.sh finish NAME     our wheels; a list of all packages; no tests, no tools that install others
set -eu
case $1 in
packages)
    python -m venv /opt/assay
    /opt/assay/bin/pip install --no-deps --require-hashes -r "$2"
    ;;
finish)
    /opt/assay/bin/pip install --no-deps /wheels/*.whl
    /opt/assay/bin/pip uninstall --yes setuptools pip
    # Removes OpenVINO's plugins for Intel's GPUs and NPUs, which our engines do not use: 61 MB.
    find /opt/assay/lib -path '*/openvino/libs/*' \
        \( -name 'libopenvino_intel_[gn]pu_plugin*' -o -name cache.json \) -delete
    # Removes the packages' own tests: 18 MB for the ranker, 60 MB for segment.
    find /opt/assay/lib -type d -name tests -prune -exec rm -r {} +
    version=$(/opt/assay/bin/python -c 'from importlib.metadata import version; print(version("assay-services"))')
    /opt/assay/bin/python inventory.py "assay/$2" "$version" /opt/assay/share/assay
    ;;
esac

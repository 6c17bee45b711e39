# Sourced by what installs Debian packages anywhere but on this machine. `fail` is the sourcing script's own.

# mirror_of RELEASE: where this machine's apt gets it; nothing where it does not.
mirror_of() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$1" '$1 == release { uri = $2 } END { print uri }'
}

# deb_lines SUITE...: apt's sources for these suites, looked for where this machine gets its own.
deb_lines() {
    local here main security mirror suite
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    main=$(mirror_of "$here") security=$(mirror_of "$here-security")
    [ -n "$main" ] && [ -n "$security" ] || fail "apt's sources lack $here or $here-security: other suites are looked for where these are"
    for suite in "$@"; do
        mirror=$main
        [ "$suite" = "${suite%-security}" ] || mirror=$security
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done
}

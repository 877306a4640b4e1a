# shellcheck shell=bash
# The findings of the distributions' own checkers. Overrides are beside the packages, each with its reason.

suite_lint() {
    check "lintian has neither an error nor a warning" lintian_is_content
    check "every override of lintian has its reason above it" overrides_have_reasons
    check "rpmlint has neither an error nor a warning" rpmlint_is_content
}

lintian_is_content() {
    local debs
    mapfile -t debs < <(find "$PACKAGES" -maxdepth 1 -name '*.deb' | sort)
    [[ ${#debs[@]} -ge 3 ]]
    lintian --no-cfg --allow-root --fail-on error,warning --info "${debs[@]}"
}

overrides_have_reasons() {
    local file
    for file in "$TOP"/packaging/debian/*.lintian-overrides; do
        awk '/^#/ {reason = 1; next} NF && !reason {print FILENAME ": no reason: " $0; bad = 1} {reason = 0} END {exit bad}' \
            "$file"
    done
}

rpmlint_is_content() {
    local rpms said
    mapfile -t rpms < <(find "$PACKAGES" -maxdepth 1 -name '*.rpm' | sort)
    [[ ${#rpms[@]} -ge 2 ]]
    said=$(rpmlint "${RPMLINT_CONFIG[@]}" "${rpms[@]}" 2>&1) || true
    echo "$said"
    has " 0 errors, 0 warnings" <<<"$said"
}

# The configuration beside the spec, if there is one.
RPMLINT_CONFIG=()
for file in "$TOP"/packaging/rpm/*rpmlint*; do
    if [[ $file == *.toml ]]; then RPMLINT_CONFIG+=(--config "$file"); elif [[ -f $file ]]; then RPMLINT_CONFIG+=(--rpmlintrc "$file"); fi
done

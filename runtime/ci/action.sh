#!/usr/bin/env bash
# The steps of the action of GitHub's workflows (action.yml): install|doctor|validate|invoke.
# Inputs are variables LAMBENT_ACTION_*; GITHUB_PATH, GITHUB_OUTPUT, RUNNER_TEMP and
# GITHUB_ACTION_PATH are the runner's.
set -euo pipefail

# As root where that is to be had without a question, with all limits; else as the user
# that this is. What a workflow sets for AWS and for Lambent itself comes along.
lambent() {
    if [[ $(id -u) != 0 ]] && sudo -n true 2>/dev/null; then
        sudo --preserve-env=AWS_REGION,AWS_DEFAULT_REGION,DOCKER_CONFIG,LAMBENT_ROOT,HOME \
            "$RUNNER_TEMP/lambent/lambent" "$@"
    else
        "$RUNNER_TEMP/lambent/lambent" "$@"
    fi
}

install() {
    local directory=$RUNNER_TEMP/lambent
    mkdir -p "$directory"
    if [[ -n ${LAMBENT_ACTION_BINARY:-} ]]; then
        cp "$LAMBENT_ACTION_BINARY" "$directory/lambent"
    else
        cargo build --locked --release --package lambent \
            --manifest-path "$GITHUB_ACTION_PATH/Cargo.toml" --target-dir "$directory/target"
        cp "$directory/target/release/lambent" "$directory/lambent"
    fi
    chmod 755 "$directory/lambent"
    printf '%s\n' "$directory" >>"$GITHUB_PATH"
}

# What this runner enforces, for the log. That it does not run functions is said by the
# step that wants to run one.
doctor() {
    lambent doctor || true
}

validate() {
    lambent validate "$LAMBENT_ACTION_IMAGE"
}

invoke() {
    local arguments=() event=(--payload "$LAMBENT_ACTION_PAYLOAD") line
    if [[ -n ${LAMBENT_ACTION_EVENT:-} ]]; then
        event=(--event "$LAMBENT_ACTION_EVENT")
    fi
    while IFS= read -r line; do
        if [[ -n $line ]]; then
            arguments+=("$line")
        fi
    done <<<"${LAMBENT_ACTION_ARGUMENTS:-}"
    local response=$RUNNER_TEMP/lambent/response status=0
    lambent invoke "$LAMBENT_ACTION_IMAGE" "${event[@]}" "${arguments[@]}" >"$response" || status=$?
    cat "$response"
    printf 'response=%s\n' "$response" >>"$GITHUB_OUTPUT"
    return "$status"
}

case ${1:-} in
install | doctor | validate | invoke) "$1" ;;
*)
    printf 'usage: action.sh install|doctor|validate|invoke\n' >&2
    exit 2
    ;;
esac

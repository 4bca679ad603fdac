# The long-lived bash. Requests come in and replies go out over a socket, which is standard input at
# the start and descriptor 200 from then on; 201 and 202 keep the streams that user code may redirect.
# A request is fields that end with NUL: number, verb, directory, text, count, as many arguments.
# A reply is "NUMBER STATUS", then NAME=VALUE for each exported simple variable, then an empty field,
# each ended by NUL. Nothing here forks: the state of the user's code lives in this very process.
exec 200<&0 201>&1 202>&2 </dev/null
umask 022
__hostwright_read() { IFS= builtin read -r -d '' -u 200 "$1"; }
__hostwright_dump() {
    for __hostwright_name in \
        "${!A@}" "${!B@}" "${!C@}" "${!D@}" "${!E@}" "${!F@}" "${!G@}" "${!H@}" "${!I@}" \
        "${!J@}" "${!K@}" "${!L@}" "${!M@}" "${!N@}" "${!O@}" "${!P@}" "${!Q@}" "${!R@}" \
        "${!S@}" "${!T@}" "${!U@}" "${!V@}" "${!W@}" "${!X@}" "${!Y@}" "${!Z@}" "${!_@}" \
        "${!a@}" "${!b@}" "${!c@}" "${!d@}" "${!e@}" "${!f@}" "${!g@}" "${!h@}" "${!i@}" \
        "${!j@}" "${!k@}" "${!l@}" "${!m@}" "${!n@}" "${!o@}" "${!p@}" "${!q@}" "${!r@}" \
        "${!s@}" "${!t@}" "${!u@}" "${!v@}" "${!w@}" "${!x@}" "${!y@}" "${!z@}"
    do
        [[ ${!__hostwright_name@a} == *x* ]] || continue
        [[ ${!__hostwright_name@a} == *[aAn]* ]] && continue
        builtin printf '%s=%s\0' "$__hostwright_name" "${!__hostwright_name}"
    done
}
# Takes back what would hurt this loop (set -e, a closed stdout) and answers. Not "builtin exec": its
# redirections would end with it.
__hostwright_reply() {
    builtin set +aefuvx +o posix -o pipefail
    exec </dev/null >&201 2>&202
    builtin cd /
    builtin export -n __hostwright_status
    {
        builtin printf '%s %s\0' "$__hostwright_number" "$__hostwright_status"
        __hostwright_dump
        builtin printf '\0'
    } >&200
}
# In a function, as FAI does it: user code may use "local".
__hostwright_source() { builtin set -a; . "$__hostwright_text"; }
__hostwright_eval() { builtin set -a; builtin eval "$__hostwright_text"; }
__hostwright_execute() { "$__hostwright_text" "${__hostwright_args[@]}" 200>&- 201>&- 202>&-; }
builtin set -o pipefail
while __hostwright_read __hostwright_number; do
    __hostwright_read __hostwright_verb
    __hostwright_read __hostwright_dir
    __hostwright_read __hostwright_text
    __hostwright_read __hostwright_count
    __hostwright_args=()
    while ((__hostwright_count-- > 0)); do
        __hostwright_read __hostwright_arg
        __hostwright_args+=("$__hostwright_arg")
    done
    builtin cd -- "$__hostwright_dir"
    case $__hostwright_verb in
        prelude) builtin set -a; builtin eval "$__hostwright_text" ;;
        source) __hostwright_source ;;
        eval) __hostwright_eval ;;
        execute) __hostwright_execute ;;
    esac
    __hostwright_status=$?
    # Not in a function: bash would put the traps back when it returns.
    builtin trap - DEBUG ERR RETURN
    __hostwright_reply
done

# shellcheck shell=bash
# shellcheck disable=SC2154 # the engine sets FAI's variables, in lower case as FAI has them
#
# FAI's shell functions, for hooks, class scripts and scripts of config spaces. Only functions are
# defined here: the text is evaluated in the engine's bash, which exports them, and is also installed
# as /usr/lib/fai/subroutines, which some scripts source by its path.

# --- stopping and errors -----------------------------------------------------------------------

# _hostwright_number FILE: the number in a file, 0 without one.
_hostwright_number() {
    local number=0
    [ -r "$1" ] && read -r number < "$1"
    case $number in
        '' | *[!0-9]*) number=0 ;;
    esac
    echo "$number"
}

# _hostwright_raise FILE NUMBER: makes NUMBER the content of FILE if it is higher.
_hostwright_raise() {
    if [ "$2" -gt "$(_hostwright_number "$1")" ]; then
        echo "$2" > "$1"
    fi
}

# _hostwright_stop CODE REASON: tells the engine to stop and ends this shell, whichever it is: code
# behind a fatal error must not run. The engine finds the reason in the file.
_hostwright_stop() {
    [ -s "$LOGDIR/stop" ] || printf '%s %s\n' "$1" "$2" > "$LOGDIR/stop"
    exit 1
}

# task_error CODE [STATUS [1]]: notes an error of the task, unless STATUS is 0. Stops the run if the
# worst error of the run is above STOP_ON_ERROR, unless the third word is 1.
task_error() {
    _hostwright_own
    [ "${2-}" = 0 ] && return 0
    _hostwright_raise "$LOGDIR/task_local_error" "$1"
    _hostwright_raise "$LOGDIR/task_error" "$1"
    [ "${3-}" = 1 ] && return 0
    task_error=$(_hostwright_number "$LOGDIR/task_error")
    if [ "$task_error" -gt "${STOP_ON_ERROR:-700}" ]; then
        echo "Error $1 in ${FUNCNAME[1]:-main}: above the limit ${STOP_ON_ERROR:-700}." >&2
        _hostwright_stop "$task_error" "task_error $1, called by ${FUNCNAME[1]:-main}"
    fi
    return 0
}

# die MESSAGE: stops the run.
die() {
    echo "$*"
    _hostwright_raise "$LOGDIR/task_local_error" 999
    _hostwright_raise "$LOGDIR/task_error" 999
    _hostwright_stop 999 "$*"
}

# _hostwright_own [TASK]: marks a function of ours. One that a space defines anew lacks the mark, and
# the engine calls it in place of its own work. The work of TASK only the engine can do.
_hostwright_own() {
    [ -n "${1-}" ] || return 0
    die "task_$1 is the work of the engine, in its own turn: a space may define it anew, not call it"
}

# skiptask TASK...: the engine leaves these tasks out.
skiptask() {
    local task
    for task in "$@"; do
        echo "skiptask" > "$LOGDIR/skip.$task"
    done
}

# sendmon MESSAGE: notes a message for FAI's monitor, and sends it there if monserver names one. A
# monitor that does not answer is asked no more.
sendmon() {
    echo "$*" >> "$LOGDIR/fai-monitor.log"
    [ "${faimond:-0}" = 1 ] || return 0
    # shellcheck disable=SC2016 # the inner shell expands it
    if ! timeout 8 bash -c 'printf "%s\n" "$3" > "/dev/tcp/$1/$2"' sendmon \
        "$monserver" "${FAI_MONITOR_PORT:-4711}" "${sendid:-$HOSTNAME} $*" 2> /dev/null; then
        echo "No monitor answers at $monserver, port ${FAI_MONITOR_PORT:-4711}; it is told no more."
        faimond=0
    fi
}

# _hostwright_save_remote RUN ACTION: copies the logs to the account LOGUSER of LOGSERVER, into the
# directory [LOGREMOTEDIR/]HOSTNAME/RUN.
_hostwright_save_remote() {
    local server=${LOGSERVER:-${SERVER-}} dir=${LOGREMOTEDIR:+$LOGREMOTEDIR/}$HOSTNAME file
    if [ -z "$server" ]; then
        echo "LOGUSER is set, but neither LOGSERVER nor SERVER: the logs stay here."
        return 1
    fi
    echo "Saving the logs to $LOGUSER@$server:$dir/$1"
    case ${FAI_LOGPROTO:-ssh} in
        ssh)
            ssh -o BatchMode=yes -l "$LOGUSER" "$server" "mkdir -p '$dir/$1'" &&
                scp -q -B -p -r "$LOGDIR/." "$LOGUSER@$server:$dir/$1" &&
                ssh -o BatchMode=yes -l "$LOGUSER" "$server" \
                    "cd '$dir' && ln -sfn '$1' last && ln -sfn '$1' 'last-$2'"
            ;;
        ftp)
            for file in "$LOGDIR"/*; do
                [ -f "$file" ] && [ -s "$file" ] || continue
                # The password is no argument, which everybody could read.
                printf 'user = "%s:%s"\n' "$LOGUSER" "${LOGPASSWD-}" |
                    curl --config - --silent --show-error --fail --ftp-create-dirs \
                        --upload-file "$file" "ftp://$server/$dir/$1/" || return 1
            done
            ;;
        *)
            echo "FAI_LOGPROTO=$FAI_LOGPROTO is neither ssh nor ftp nor none: the logs stay here."
            return 1
            ;;
    esac
}

# call_hook TASK: runs the hooks of a task as the engine does.
call_hook() {
    _hostwright_own
    local class file status
    for class in $classes; do
        for file in "$FAI/hooks/$1.$class.sh" "$FAI/hooks/$1.$class"; do
            [ -f "$file" ] || continue
            if [ ! -x "$file" ]; then
                echo "WARNING: Skipping $file because it's not executable."
                continue
            fi
            status=0
            if [[ $file == *.sh ]]; then
                echo "Source hook: ${file##*/}"
                # shellcheck disable=SC1090 # the name is only known now
                . "$file" || status=$?
            else
                echo "Calling hook: ${file##*/}"
                "$file" ${debug:+-d} || status=$?
            fi
            check_status "${file##*/}" "$status"
        done
    done
}

# task TASK: runs a task that the space made up, with its hooks, unless it is to be skipped.
task() {
    _hostwright_own
    local name=$1
    shift
    echo 0 > "$LOGDIR/task_local_error"
    [ -f "$LOGDIR/skip.$name" ] || call_hook "$name"
    if [ -f "$LOGDIR/skip.$name" ]; then
        rm "$LOGDIR/skip.$name"
        sendmon "TASKSKIP $name"
        return 0
    fi
    echo "Calling task_$name"
    sendmon "TASKBEGIN $name"
    "task_$name" "$@"
    sendmon "TASKEND $name $(_hostwright_number "$LOGDIR/task_local_error")"
}

# The tasks that FAI knows. Some of them are the same as a call of a tool.
task_confdir() { _hostwright_own confdir; }
task_setup() { _hostwright_own setup; }
task_defclass() { _hostwright_own defclass; }
task_defvar() { _hostwright_own defvar; }
task_action() { _hostwright_own action; }
task_install() { _hostwright_own install; }
task_dirinstall() { _hostwright_own dirinstall; }
task_softupdate() { _hostwright_own softupdate; }
task_sysinfo() { _hostwright_own sysinfo; }
task_inventory() { _hostwright_own inventory; }
task_partition() { _hostwright_own partition; }
task_mountdisks() { _hostwright_own; mount2dir "$FAI_ROOT" "$LOGDIR/fstab"; }
task_extrbase() { _hostwright_own extrbase; }
task_debconf() { _hostwright_own; fai-debconf "$FAI/debconf"; }
task_repository() { _hostwright_own repository; }
task_updatebase() { _hostwright_own; updatebase; }
task_instsoft() { _hostwright_own; install_packages; }
task_configure() { _hostwright_own; fai-do-scripts "$FAI/scripts" || task_error 420; }
task_tests() { _hostwright_own; fai-do-scripts "$FAI/tests"; }
task_finish() { _hostwright_own finish; }
task_chboot() { _hostwright_own chboot; }
task_savelog() { _hostwright_own savelog; }
task_faiend() { _hostwright_own faiend; }

# --- where we are ------------------------------------------------------------------------------

# inside_nfsroot: true on a machine that is being installed.
inside_nfsroot() {
    [ "${do_init_tasks:-0}" -eq 1 ]
}

# define_fai_flags: FAI_FLAGS="a,b" sets flag_a=1 and flag_b=1.
define_fai_flags() {
    local flag
    FAI_FLAGS=${FAI_FLAGS//,/ }
    echo "FAI_FLAGS: $FAI_FLAGS"
    for flag in $FAI_FLAGS; do
        printf -v "flag_$flag" 1
        export "flag_${flag?}"
    done
    if [ -n "${flag_verbose-}" ]; then export verbose=1; fi
    if [ -n "${flag_debug-}" ]; then export debug=1; fi
}

# eval_cmdline: sets a variable for each NAME=VALUE of the kernel command line. Unlike in FAI the
# value is text and nothing in it is run.
eval_cmdline() {
    local cmdline word
    read -r cmdline < /proc/cmdline
    echo "Kernel: $(uname -rsmo)"
    echo "Kernel parameters: $cmdline"
    for word in $cmdline; do
        if [[ $word =~ ^[A-Za-z_][A-Za-z0-9_]*= ]]; then
            export "${word?}"
        fi
    done
}

# save_dmesg: keeps the messages of the kernel.
save_dmesg() {
    inside_nfsroot || return 0
    dmesg > "$LOGDIR/dmesg.log"
}

# catnc FILE...: text without comment lines.
catnc() {
    grep -v '^#' "$@"
}

# once_only: the lines of standard input, each only once.
once_only() {
    awk '!seen[$0]++'
}

# --- disks -------------------------------------------------------------------------------------

# set_bootstick: sets FAI_BOOTSTICK to the disk that a live system runs from.
set_bootstick() {
    FAI_BOOTSTICK=$(awk '$2 ~ "run/initramfs/live" { sub("^/dev/", "", $1); print $1; exit }' /proc/mounts)
    if [ -z "$FAI_BOOTSTICK" ] && [ -L /dev/disk/by-label/FAI_CD ]; then
        FAI_BOOTSTICK=$(basename "$(readlink /dev/disk/by-label/FAI_CD)")
    fi
    case $FAI_BOOTSTICK in
        *[0-9]p[0-9]*) FAI_BOOTSTICK=${FAI_BOOTSTICK%p*} ;;
        nvme*) ;;
        *) FAI_BOOTSTICK=${FAI_BOOTSTICK%%[0-9]*} ;;
    esac
}

# all_disks_and_size: "NAME BLOCKS" of each disk, in the order of the kernel.
all_disks_and_size() {
    local disk
    fai-disk-info | while read -r disk; do
        awk -v disk="$disk" '$4 == disk { print $4, $3 }' /proc/partitions
    done
}

# checkdisk [DEVICE]: names of the disks among lines "NAME BLOCKS" of standard input, but DEVICE.
checkdisk() {
    local device
    while read -r device _; do
        if [ -b "/dev/$device" ] && [ "$device" != "${1-}" ]; then
            echo "$device"
        fi
    done
}

# all_disks_by_size: names of disks, the largest first.
all_disks_by_size() {
    all_disks_and_size | sort -k2,2nr | checkdisk "${FAI_BOOTSTICK-}"
}

largestdisk() {
    all_disks_by_size | head -n 1
}

smallestdisk() {
    all_disks_and_size | sort -k2,2n | checkdisk "${FAI_BOOTSTICK-}" | head -n 1
}

# disks_by_id: "ID TARGET" of each disk that udev has an id for.
disks_by_id() {
    local link name
    for link in /dev/disk/by-id/*; do
        name=${link##*/}
        case $name in
            *-part[0-9]* | nvme-eui* | nvme-nvme* | nvme*_[0-9]) ;;
            ata* | nvme* | usb*) [ -L "$link" ] && echo "$name $(readlink "$link")" ;;
        esac
    done
}

# grep_disks [PATTERN...]: the lines of disks_by_id that match, in the order of the patterns.
grep_disks() {
    local pattern
    for pattern in "${@:-.}"; do
        disks_by_id | grep -E -e "$pattern"
    done
}

# grepv_disks [PATTERN]: the lines of disks_by_id that do not match.
grepv_disks() {
    disks_by_id | grep -E -v -e "${1:-.}"
}

# matchdisks [PATTERN...]: device names of the disks whose ids match.
matchdisks() {
    grep_disks "$@" | sed 's#.*/##'
}

# notmatchdisks [PATTERN]: device names of the disks whose ids do not match.
notmatchdisks() {
    grepv_disks "$@" | sed 's#.*/##'
}

# set_disk_info: sets disklist to the names of all disks.
set_disk_info() {
    disklist=$(fai-disk-info | LC_ALL=C sort | tr '\n' ' ')
    export disklist
}

# --- the target --------------------------------------------------------------------------------

# _hostwright_target: true if there is a target that is not the running system.
_hostwright_target() {
    case ${target:-/} in
        /) echo "ERROR: \$target is not set, or is /." ; return 1 ;;
    esac
}

# ctam: mounts the kernel's file systems into the target.
ctam() {
    local dir
    _hostwright_target || return 0
    if [ -f "$target/proc/cpuinfo" ]; then
        echo "Filesystems already mounted to $target."
        return 0
    fi
    # Private: what is mounted below the copies must not appear below the originals.
    for dir in /sys /proc /dev /dev/pts; do
        mount --bind --make-private "$dir" "$target$dir"
    done
    if [ -d /sys/firmware/efi/efivars ]; then
        mount --bind --make-private /sys/firmware/efi/efivars "$target/sys/firmware/efi/efivars"
    fi
}

# ctau: takes back what ctam did.
ctau() {
    local dir
    _hostwright_target || return 0
    for dir in /dev/pts /dev /proc /sys/firmware/efi/efivars /sys; do
        if mountpoint -q "$target$dir"; then
            umount "$target$dir"
        fi
    done
}

# ctai: a shell inside the target.
ctai() {
    _hostwright_target || return 0
    chroot "$target" bash
}

# _hostwright_mounts: what is mounted at and below the target, the latest last.
_hostwright_mounts() {
    awk -v top="$target" '$2 == top || index($2, top "/") == 1 { print $2 }' /proc/mounts
}

# umount_target: unmounts everything below the target, the mirror excepted.
umount_target() {
    local dir
    _hostwright_target > /dev/null || return 0
    while read -r dir; do
        case $dir in
            *media/mirror*) ;;
            *) umount "$dir" ;;
        esac
    done < <(_hostwright_mounts | tac)
}

# rwmount DIRECTORY: makes a mounted file system writable.
rwmount() {
    mount -o remount,rw "$1"
}

# rw_target: makes everything below the target writable.
rw_target() {
    local dir
    _hostwright_target || return 0
    while read -r dir; do
        case $dir in
            *media/mirror*) ;;
            *) rwmount "$dir" ;;
        esac
    done < <(_hostwright_mounts)
}

# mount_mirror: mounts FAI_DEBMIRROR below the target.
mount_mirror() {
    local -a words
    [ -n "${FAI_DEBMIRROR-}" ] || return 0
    mkdir -p "$FAI_ROOT$MNTPOINT"
    read -r -a words <<< "${romountopt-} $FAI_DEBMIRROR"
    if ! mount "${words[@]}" "$FAI_ROOT$MNTPOINT"; then
        sendmon "TASKERROR repository 881"
        die "Cannot mount $FAI_DEBMIRROR"
    fi
}

# What every stage of a case starts with: $dir, $out, and the kernel names of its disks in $disks.
set -u
case=$1
dir=/lab/cases/$case
out=$dir/$(cat /lab/stage)
rm -rf "$out"
mkdir -p "$out"
disks=
for serial in $(cat "$dir/serials"); do
    name=
    for disk in /sys/block/*; do
        found=$(cat "$disk/serial" "$disk/device/serial" 2>/dev/null | tr -d ' \n')
        [ -n "$found" ] || found=$(tail -c +5 "$disk/device/vpd_pg80" 2>/dev/null | tr -d ' \0\n')
        [ "$found" = "$serial" ] && name=${disk##*/}
    done
    [ -n "$name" ] || { echo "there is no disk with serial number $serial"; exit 1; }
    disks="$disks $name"
done
disks=${disks# }
echo "$disks" >"$out/disks"

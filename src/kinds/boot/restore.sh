#!/bin/sh
# Written by lvsctl: it is the same on every host, and what it restores is in the files beside it.
#
# Restores after a reboot what lvsctl put on this host, with the host's own tools. It may be run at any time: what is in
# place stays as it is, and what is somebody else's is left alone. Run from a folder that stands for /, it reads the files
# of that folder.
set -u
root=${0%/etc/lvsctl/restore/restore.sh}
here=$root/etc/lvsctl/restore
parameters=$root/etc/sysctl.d/90-lvsctl.conf
modules=$root/etc/modules-load.d/lvsctl.conf
status=0

failed() {
    echo "lvsctl-restore: $*" >&2
    status=1
}

# Takes the other iptables where the kernel lacks nf_tables, as lvsctl does.
variant() {
    if ! "$1" -w -t "$2" -S >/dev/null 2>&1 && command -v "$1-legacy" >/dev/null; then
        echo "$1-legacy"
    else
        echo "$1"
    fi
}

# Options of modules are those of the folder, too.
restore_modules() {
    set --
    [ -z "$root" ] || [ ! -d "$root/etc/modprobe.d" ] || set -- -C "$root/etc/modprobe.d"
    while read -r module; do
        case $module in '' | '#'*) continue ;; esac
        modprobe "$@" -- "$module" || failed "the module $module cannot be loaded"
    done <"$modules"
}

# A chain is emptied and filled in one step, and its jump comes after its rules.
restore_rules() { # iptables|ip6tables
    rules=$here/$1.rules
    [ -f "$rules" ] || return 0
    program=$(variant "$1" "$(sed -n 's/^\*//p' "$rules" | head -n 1)")
    "$program-restore" -w 15 --noflush <"$rules" || failed "the rules of $1 cannot be restored"
    [ -f "$here/jumps" ] || return 0
    while read -r family table hook chain; do
        [ "$family" = "$1" ] || continue
        "$program" -w 15 -t "$table" -C "$hook" -j "$chain" 2>/dev/null ||
            "$program" -w 15 -t "$table" -I "$hook" 1 -j "$chain" ||
            failed "$hook cannot be made to jump to $chain"
    done <"$here/jumps"
}

# Leaves out the services and servers that are in the table already.
missing() {
    awk '{
        name = $1 " " $2 " " $3
        for (i = 4; i <= NF; i++) {
            if ($i == "-6") name = name " -6"
            if ($i == "-r") name = name " -r " $(i + 1)
        }
        if (live) there[name] = 1
        else if (!(name in there)) print
    }' live=1 - live= "$here/ipvsadm.rules"
}

restore_services() {
    wanted=$(ipvsadm -Sn | missing) || failed "the table of IPVS cannot be read"
    [ -z "$wanted" ] || printf '%s\n' "$wanted" | ipvsadm -R || failed "not every service can be restored"
}

# An interface that a module brings along is there by now; only a dummy is made.
restore_links() {
    while read -r device sort; do
        case $device in '' | '#'*) continue ;; esac
        if [ "$sort" = dummy ] && ! ip link show dev "$device" >/dev/null 2>&1; then
            ip link add "$device" type dummy || failed "$device cannot be made"
        fi
        ip link set "$device" up || failed "$device cannot be brought up"
    done <"$here/links"
}

# Opening a port that is open already is refused.
restore_fou_ports() {
    while read -r port options; do
        case $port in '' | '#'*) continue ;; esac
        # shellcheck disable=SC2086 # They are words.
        ip fou add port "$port" $options 2>/dev/null || ip fou show | sed 's/ *$//' | grep -qxF "port $port $options" ||
            failed "the port $port cannot be opened for gue"
    done <"$here/fou-ports"
}

restore_timeouts() {
    while read -r tcp tcp_fin udp; do
        case $tcp in '' | '#'*) continue ;; esac
        ipvsadm --set "$tcp" "$tcp_fin" "$udp" || failed "the timeouts of IPVS cannot be set"
    done <"$here/timeouts"
}

restore_sync_daemons() {
    running=$(ipvsadm -Ln --daemon)
    while read -r state options; do
        case $state in '' | '#'*) continue ;; esac
        case $running in *"$state sync daemon"*) continue ;; esac
        # shellcheck disable=SC2086 # They are words.
        ipvsadm --start-daemon "$state" $options || failed "the sync daemon cannot be started as $state"
    done <"$here/sync-daemons"
}

restore_offloads() {
    if ! command -v ethtool >/dev/null; then
        failed "the program ethtool, which switches offloads, is not installed"
        return
    fi
    while read -r device offload switch; do
        case $device in '' | '#'*) continue ;; esac
        ethtool -K "$device" "$offload" "$switch" >/dev/null || failed "$offload of $device cannot be switched $switch"
    done <"$here/offloads"
}

# Tells whether a host keeps quiet about the addresses of an interface. The larger of all and the interface counts.
is_quiet() { # DEVICE
    for parameter in arp_ignore.1 arp_announce.2; do
        largest=$(cat "/proc/sys/net/ipv4/conf/all/${parameter%.*}" "/proc/sys/net/ipv4/conf/$1/${parameter%.*}" | sort -n | tail -n 1)
        [ "${largest:-0}" -ge "${parameter#*.}" ] || return 1
    done
}

# A VIP of IPv6 is no source of the host's own packets; of IPv4 an earlier address is taken anyway. One on an interface of a
# real server must not be answered for: without it the server serves nobody, with it the server would take all the traffic.
restore_addresses() {
    while read -r address device label; do
        case $address in '' | '#'*) continue ;; esac
        there=$(ip -o address show dev "$device" | grep -F " $address ")
        lifetime=''
        case $address in
        *:*/128)
            lifetime='nodad preferred_lft 0'
            case $there in *' deprecated '*) continue ;; esac
            ;;
        *)
            [ -z "$there" ] || continue
            case $device in
            lo | tunl0 | gre0 | lvsctl0)
                is_quiet "$device" || {
                    failed "$address is not put on $device, because ARP would be answered for it"
                    continue
                }
                ;;
            esac
            ;;
        esac
        # shellcheck disable=SC2086 # They are words.
        ip address replace "$address" dev "$device" ${label:+label "$label"} $lifetime ||
            failed "$address cannot be put on $device"
    done <"$here/addresses"
}

# Prints a word and the one after it, if it stands in a line.
pair() { # WORD LINE
    case " $2 " in *" $1 "*) ;; *) return ;; esac
    rest=" $2 "
    rest=${rest#*" $1 "}
    echo "$1 ${rest%% *}"
}

# The route that is used gets another gateway, and keeps its metric and protocol.
restore_routes() {
    while read -r family gateway; do
        case $family in '' | '#'*) continue ;; esac
        used=$(ip "$family" route show default | head -n 1)
        [ "$(pair via "$used")" != "via $gateway" ] || continue
        kept="proto static"
        [ -z "$used" ] || kept="$(pair proto "$used") $(pair metric "$used")"
        # shellcheck disable=SC2086 # They are words.
        ip "$family" route replace default via "$gateway" $kept ||
            failed "the default route through $gateway cannot be restored"
    done <"$here/routes"
}

# Interfaces come before their parameters, the parameters that keep ARP quiet before the addresses that must not be answered
# for, and the table before the address by which packets arrive.
[ ! -f "$modules" ] || restore_modules
[ ! -f "$here/links" ] || restore_links
[ ! -f "$here/fou-ports" ] || restore_fou_ports
[ ! -f "$parameters" ] || sysctl -q -p "$parameters" || failed "not every parameter can be set"
restore_rules iptables
restore_rules ip6tables
[ ! -f "$here/offloads" ] || restore_offloads
[ ! -f "$here/timeouts" ] || restore_timeouts
[ ! -f "$here/ipvsadm.rules" ] || restore_services
[ ! -f "$here/sync-daemons" ] || restore_sync_daemons
[ ! -f "$here/addresses" ] || restore_addresses
[ ! -f "$here/routes" ] || restore_routes
exit "$status"

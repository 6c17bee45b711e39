#!/bin/bash
# Builds the virtual lab's images from Debian packages and prints the directory that holds them.
#
#   build.sh [--kernel LINE] [--xen VERSION]     versions as in the file `suites`, its first without any
#   build.sh --kernel RELEASE ...                a release of such a line, as 6.1.0-50
#   build.sh --kernel LINE --releases            prints the releases of it that Debian has, the oldest first
#
#   xen        the hypervisor, an ELF file as QEMU loads it
#   vmlinux    the kernel of dom0 and of the guests, unpacked: nothing is decompressed under emulation
#   dom0.cpio  dom0's root; the guests' kernel and root are inside
#   machines   names and addresses of the lab's machines
#   versions   every package that went in, with its version
#   ssh/       the controller's key pair, and the public host keys
#   digest     names the content of all this
#
# The result is kept in a cache and named by its inputs: this folder and the versions that apt would
# install today. Needs root, mmdebstrap, gcc, cpio, xz-utils, zstd and openssh-client. Progress goes to stderr.
set -euo pipefail
shopt -s nullglob
export LC_ALL=C

recipe=$(cd "$(dirname "$0")" && pwd)
cache=${VIFBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vifbench}/images

fail() { echo "build.sh: $*" >&2; exit 1; }
step() { echo "build.sh: $*" >&2; }
. "$recipe/../deb-lines.sh"

# content FILE: its lines without comments.
content() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# of KIND [VERSION]: what `suites` says of it; of the first of its kind without a version. A release of a line of kernels comes by a
# package of its own.
of() {
    content "$recipe/suites" | awk -v kind="$1" -v version="${2:-}" '
        $1 == kind { known = known " " $2 }
        $1 == kind && !found && (version == "" || $2 == version) { print $2, $3, $4; found = 1 }
        $1 == kind && !found && kind == "kernel" && index(version, $2 ".") == 1 { print version, $3, "linux-image-" version "-amd64"; found = 1 }
        END { if (!found) { print "build.sh: no Debian suite is known with " kind " " version "; known are" known > "/dev/stderr"; exit 1 } }'
}

xen_row=$(of xen)
kernel_row=$(of kernel)
usual="$xen_row $kernel_row"
releases=
while [ $# -gt 0 ]; do
    case $1 in
        --releases) releases=yes; shift; continue ;;
        --xen) xen_row=$(of xen "${2:?--xen needs a version}") ;;
        --kernel) kernel_row=$(of kernel "${2:?--kernel needs a line}") ;;
        *) fail "unknown argument $1; usage: build.sh [--kernel LINE] [--xen VERSION] [--releases]" ;;
    esac
    shift 2
done
read -r xen_version suite _ <<< "$xen_row"
# A line, or a release.
read -r kernel_version kernel_suite kernel_package <<< "$kernel_row"

[ "$(id -u)" = 0 ] || fail "building images needs root: the roots hold files of many owners; run it with sudo"
for tool in mmdebstrap:mmdebstrap gcc:gcc cpio:cpio xz:xz-utils zstd:zstd ssh-keygen:openssh-client; do
    command -v "${tool%:*}" > /dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done

# --- Which packages, in which versions ---------------------------------------------------------------

# This machine's own apt, or for other versions than its own a configuration beside it, with lists, sources and pins.
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
if [ "$xen_row $kernel_row" = "$usual" ]; then
    suite=$here
    apt_etc=/etc/apt apt_lists=/var/lib/apt/lists apt=()
else
    apt_etc=$cache/apt-$kernel_version-$xen_version apt_lists=$cache/apt-lists
    mkdir -p "$apt_etc/preferences.d" "$apt_lists/partial"
    apt=(-o Dir::Etc="$apt_etc" -o Dir::State::lists="$apt_lists" -o APT::Sandbox::User=root)
    sources=$(deb_lines bookworm trixie trixie-backports bookworm-security trixie-security)
    # linux-base comes with the kernel: it knows how one is set up.
    pins=$(printf 'Package: %s\nPin: release n=%s\nPin-Priority: %s\n\n' \
        '*' "$suite" 900 \
        '*' "$suite-security" 900 \
        "$kernel_package linux-base" "$kernel_suite" 990 \
        "$kernel_package linux-base" "$kernel_suite-security" 990)
    # Written only when they change, because their times are part of what names apt's answer.
    keep() { [ -e "$1" ] && [ "$(cat "$1")" = "$2" ] || echo "$2" > "$1"; }
    keep "$apt_etc/sources.list" "$sources"
    keep "$apt_etc/preferences" "$pins"
    exec 8> "$cache/apt-lists.lock"
    flock 8
    # Once a day, as Debian's own timer does for the machine.
    if [ -z "$(find "$apt_lists" -maxdepth 1 -name updated -mtime -1)" ]; then
        step "asking Debian for the packages of bookworm and trixie"
        apt-get "${apt[@]}" update -qq >&2 || fail "apt-get update failed (its reason stands above)"
        touch "$apt_lists/updated"
    fi
    flock -u 8
fi

if [ -n "$releases" ]; then
    # What is installed here is not asked: Debian may have it no longer.
    apt+=(-o Dir::State::status=/dev/null)
    mapfile -t names < <(apt-cache "${apt[@]}" pkgnames "linux-image-$kernel_version." |
        grep -E '^linux-image-[0-9]+\.[0-9]+\.[0-9]+(\+deb[0-9]+|-[0-9]+)-amd64$')
    [ ${#names[@]} -gt 0 ] || fail "apt knows no release of Linux $kernel_version: run apt-get update"
    # Another suite may have releases of this line too.
    apt-cache "${apt[@]}" madison "${names[@]}" |
        awk -v suite=" $kernel_suite(-security)?/" '$0 ~ suite { print $1 }' |
        sed 's/^linux-image-\(.*\)-amd64$/\1/' | sort -uV
    exit
fi

# Asking apt takes seconds, so the answer is kept as long as its lists and pins, and the recipe, stay as they are.
asked=$({ stat --format '%n %s %Y' "$apt_lists"/* "$apt_etc"/preferences* "$apt_etc"/preferences.d/*; cat "$recipe/packages"; echo "$xen_row $kernel_row"; } | sha256sum | cut -c1-16)
answer=$cache/apt-$asked
mkdir -p "$cache"
if [ ! -s "$answer" ]; then
    packages=()
    # A release's package is the kernel itself, a line's leads to it.
    kernel_by="s/@kernel@/$kernel_package/"
    case $kernel_version in *.*.*) kernel_by="s/.* <- @kernel@/$kernel_package/" ;; esac
    while read -r name arrow from; do
        if [ "$arrow" = "<-" ]; then
            found=$(apt-cache "${apt[@]}" depends --important "$from" | awk -v name="$name" \
                '$1 == "Depends:" && index($2, name) == 1 && $2 ~ /[0-9]/ { print $2; exit }')
            [ -n "$found" ] || fail "apt knows no $name* behind $from: run apt-get update, and look that the sources hold Debian's main and security"
            name=$found
        fi
        packages+=("$name")
    done < <(content "$recipe/packages" | sed "$kernel_by")

    # What apt would install into an empty system: `Inst NAME (VERSION ...`.
    versions=$(apt-get "${apt[@]}" --simulate -o Dir::State::status=/dev/null -o APT::Install-Recommends=false \
        install "${packages[@]}" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\).*/\1 \2/p' | sort) ||
        fail "apt cannot resolve ${packages[*]}: run apt-get update"
    { echo "${packages[*]}"; echo "$versions"; } > "$answer.$$"
    mv "$answer.$$" "$answer"
fi
read -r -a packages < "$answer"
versions=$(tail -n +2 "$answer")
key=$({ echo "$versions"; cd "$recipe" && find . -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum | cut -c1-16)
result=$cache/$key

exec 9> "$cache/$key.lock"
flock 9
if [ -d "$result" ]; then
    if (cd "$result" && sha256sum --quiet --check digest) >&2; then
        # Entries that nothing has used for two weeks go; this one is in use.
        touch "$result"
        find "$cache" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} +
        echo "$result"
        exit
    fi
    step "$result is damaged, building it again"
    rm -rf "$result"
fi

work=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Told once more while it clears up, it goes on.
trap 'trap "" TERM; exit 143' TERM
tree=$work/tree out=$work/out
mkdir "$out"

# --- Unpack ------------------------------------------------------------------------------------------

step "unpacking $(echo "$versions" | wc -l) packages"
# With the same lists, sources and pins, so that what is unpacked is what was resolved above.
export apt_etc apt_lists
mmdebstrap --quiet --mode=root --variant=extract --skip=update,check/empty \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --setup-hook='mkdir -p "$1/var/lib/apt" && rm -rf "$1/var/lib/apt/lists" && cp -r "$apt_lists" "$1/var/lib/apt/lists"' \
    --setup-hook='rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d && for f in sources.list sources.list.d preferences preferences.d; do if [ -e "$apt_etc/$f" ]; then cp -r "$apt_etc/$f" "$1/etc/apt/"; fi; done' \
    --include="$(IFS=,; echo "${packages[*]}")" "$suite" "$tree" - < /dev/null >&2 ||
    fail "mmdebstrap could not unpack the packages (its reason stands above)"

kernel=$(basename "$tree"/lib/modules/*)
xen=$(basename "$tree"/usr/lib/xen-*)
if [ "$xen_row $kernel_row" != "$usual" ]; then
    case $kernel-$xen in
        "$kernel_version"[.-]*-xen-"$xen_version") ;;
        *) fail "apt gave Linux $kernel and $xen, not Linux $kernel_version and Xen $xen_version: look at $apt_etc" ;;
    esac
fi

# --- Kernel and hypervisor, unpacked -----------------------------------------------------------------

gunzip -c "$tree"/boot/"$xen"-amd64.gz > "$out/xen"

# Newer kernels lie beside their modules.
vmlinuz=$tree/boot/vmlinuz-$kernel
[ -e "$vmlinuz" ] || vmlinuz=$tree/usr/lib/modules/$kernel/vmlinuz
# The kernel's payload: the boot protocol's fields payload_offset (0x248) and payload_length (0x24c)
# count from the end of the setup sectors (their number is at 0x1f1). The last four bytes are a length.
field() { od -A n -t "u$2" -j "$1" -N "$2" "$vmlinuz" | tr -d ' '; }
start=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4)))
payload() { dd if="$vmlinuz" iflag=skip_bytes,count_bytes skip="$start" count="$(($(field 0x24c 4) - 4))" status=none; }
case $(od -A n -t x1 -j "$start" -N 4 "$vmlinuz" | tr -d ' ') in
    fd377a58) payload | xz -dc > "$out/vmlinux" ;;
    28b52ffd) payload | zstd -dc > "$out/vmlinux" ;;
    *) fail "the payload of $kernel is compressed by neither xz nor zstd" ;;
esac

# --- Keys --------------------------------------------------------------------------------------------

mkdir -m 700 "$out/ssh" "$work/host_keys"
ssh-keygen -q -t ed25519 -N '' -C vifbench-controller -f "$out/ssh/controller"
for machine in dom0 u1 u2 gen; do
    ssh-keygen -q -t ed25519 -N '' -C "$machine" -f "$work/host_keys/$machine"
    cp "$work/host_keys/$machine.pub" "$out/ssh/"
done
# dom0's own key: in a sealed trial it is dom0 that speaks to the guests.
ssh-keygen -q -t ed25519 -N '' -C vifbench-dom0 -f "$work/dom0-client"

# --- Roots -------------------------------------------------------------------------------------------

# put ROOT PATH: copies one file of the tree, with what its path and its symbolic links need.
put() {
    local root=$1 path=$2 real
    real=$(chroot "$tree" /bin/busybox readlink -f "$path")
    [ -n "$real" ] && [ -e "$tree$real" ] || fail "$path is in none of the packages"
    # Everything lies under /usr; /bin, /sbin, /lib and /lib64 are links to it.
    path=$(readlink -f "$tree$(dirname "$path")")/$(basename "$path")
    path=${path#"$tree"}
    mkdir -p "$root$(dirname "$real")" "$root$(dirname "$path")"
    [ -e "$root$real" ] || cp -p "$tree$real" "$root$real"
    # The link's target is looked for in this machine's root, where it need not be.
    [ -e "$root$path" ] || [ -L "$root$path" ] || ln -s "$real" "$root$path"
}

# root NAME: makes $work/NAME from the lists and the overlays of the recipe.
root() {
    local name=$1 root=$work/$1 pattern path library applet module
    mkdir -p "$root"/{dev,etc/ssh,proc,root,run,sys,tmp,usr/bin,usr/sbin,usr/lib,usr/lib64,var/log}
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root/"
    ln -s /run "$root/var/run"
    chmod 1777 "$root/tmp"

    while read -r pattern; do
        # What stands after a question mark is not in every version.
        local matches=("$tree"${pattern#\?})
        [ ${#matches[@]} -gt 0 ] || [ "$pattern" = "${pattern#\?}" ] || continue
        [ ${#matches[@]} -gt 0 ] || fail "$pattern ($name/files) is in none of the packages"
        for path in "${matches[@]}"; do
            path=${path#"$tree"}
            put "$root" "$path"
            # Libraries, as the target's own loader finds them. Scripts and static programs have none.
            if [ "$(head -c 4 "$tree$path")" = $'\x7fELF' ] && [ "$path" != /bin/busybox ]; then
                chroot "$tree" /lib64/ld-linux-x86-64.so.2 --list "$path" |
                    awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | sort -u |
                    while read -r library; do put "$root" "$library"; done
            fi
        done
    done < <(content "$recipe/$name/files")
    for path in "$root/usr/lib/$xen"/bin/*; do
        ln -s "/${path#"$root/"}" "$root/usr/sbin/"
    done
    for applet in $(chroot "$tree" /bin/busybox --list); do
        [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || [ -L "$root/usr/sbin/$applet" ] ||
            ln -s busybox "$root/usr/bin/$applet"
    done
    for path in modprobe insmod rmmod lsmod modinfo depmod; do
        ln -sf ../bin/kmod "$root/usr/sbin/$path"
        rm -f "$root/usr/bin/$path"
    done

    depmod -b "$tree" "$kernel"
    for module in $(content "$recipe/$name/modules"); do
        modprobe -d "$tree" -S "$kernel" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
    done | sort -u | while read -r path; do
        path=$(readlink -f "$path")
        path=${path#"$tree"}
        mkdir -p "$root$(dirname "$path")"
        cp "$tree$path" "$root$path"
    done
    # Nothing is decompressed under emulation.
    find "$root/lib/modules/" -name '*.ko.xz' -exec xz -d {} +
    cp "$tree/lib/modules/$kernel"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$kernel/"
    depmod -b "$root" "$kernel"

    cp -r "$recipe/common/." "$recipe/$name/." "$root/"
    rm "$root/files" "$root/modules"
    gcc -O2 -o "$root/usr/sbin/seed-random" "$recipe/seed-random.c"
    awk 'BEGIN { print "127.0.0.1 localhost" } !/^#/ { print $2, $1; print $3, $1 }' "$recipe/common/etc/machines" > "$root/etc/hosts"
    cat "$out/ssh/controller.pub" "$work/dom0-client.pub" > "$root/etc/ssh/authorized_keys"
    mkdir -m 700 "$root/etc/ssh/host_keys"
}

# pack NAME FILE: the root as an archive the kernel unpacks; the same files give the same bytes.
pack() {
    (cd "$work/$1" && find . -exec touch --no-dereference --date=@0 {} + &&
        find . -print0 | sort -z | cpio --quiet --null --create --format=newc --reproducible --owner=0:0) > "$2"
}

step "making the guests' root"
root guest
for machine in u1 u2 gen; do cp "$work/host_keys/$machine" "$work/guest/etc/ssh/host_keys/"; done

step "making dom0's root"
root dom0
cp "$work/host_keys/dom0" "$work/dom0/etc/ssh/host_keys/"
# At a fixed place, by which its instructions are told from those of other programs (instructions/src/attribution.rs).
gcc -O2 -no-pie -o "$work/dom0/usr/sbin/rendezvous" "$recipe/rendezvous.c"
cp "$work/dom0-client" "$work/dom0/etc/ssh/client_key"
chmod 600 "$work/dom0/etc/ssh/client_key"
for machine in u1 u2 gen; do
    echo "$machine $(cut -d ' ' -f 1,2 "$work/host_keys/$machine.pub")"
done > "$work/dom0/etc/ssh/ssh_known_hosts"
mkdir "$work/dom0/boot"
pack guest "$work/dom0/boot/guest.cpio"
cp "$out/vmlinux" "$work/dom0/boot/"
pack dom0 "$out/dom0.cpio"

cp "$recipe/common/etc/machines" "$out/"
echo "$versions" > "$out/versions"
echo "$kernel" > "$out/kernel"
(cd "$out" && find . -type f ! -name digest -print0 | sort -z | xargs -0 sha256sum > digest)
# One rename makes it visible: there is never half an image.
mv "$out" "$result"
step "images are in $result"
echo "$result"

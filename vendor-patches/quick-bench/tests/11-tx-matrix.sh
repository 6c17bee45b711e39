# The other direction: every regulator of the frontend, every kind of traffic, from the guest to dom0.
regulators=$(asked regulators "nowait static literal paper gated ramjee1 ramjee2 ramjee3 ramjee4 breakeven")

# tx_agree: what left the frontend reached the backend.
tx_agree() {
    local $(since)
    [ $fe_tx_agg_containers = $tx_agg_containers ] && [ $fe_tx_agg_frames = $tx_agg_frames ]
}

load patched patched
check "connects" connect
for regulator in $regulators off; do
    # Only netback has these.
    case $regulator in playout | dim) continue ;; esac
    check "tx $regulator: set" fe_setting regulator $regulator
    mark
    for size in $(asked sizes "60 256 1514 60-1514"); do
        check "tx $regulator: udp $size" tx udp --count 1000 --size $size --flows 4
    done
    check "tx $regulator: udp 60, sparse" tx udp --count 100 --size 60 --gap 3000
    check "tx $regulator: tcp bulk" tx bulk --count 2000
    check "tx $regulator: tcp requests" tx rr --count 60
    check "tx $regulator: counters agree" await 15 tx_agree
    since | awk '/^(fe_tx|tx_agg)/' | tr '\n' ' '; echo
done
# Both directions aggregate.
setting regulator paper
fe_setting regulator paper
check "both ways: tcp requests" rx rr --count 60
check "both ways: udp" tx udp --count 1000 --size 60-1514
check "both ways: bulk" tx bulk --count 1000
check "disconnects" disconnect
check "unloads" unload
check "no warning" no_warning

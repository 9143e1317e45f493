# A snapshot over the replication protocol: Redis forks once and sends it, and nothing is written on its own volume.
stamp=$(date -u +%Y%m%dT%H%M%SZ)
redis-cli ${TLS:-} -u "$SEARCHMESH_INDEX_URL" --rdb /backup/.partial.rdb
redis-check-rdb /backup/.partial.rdb
mv /backup/.partial.rdb "/backup/index-$stamp.rdb"
ls -1 /backup/index-*.rdb | sort -r | tail -n "+$((KEEP + 1))" | xargs -r rm -f
ls -l /backup

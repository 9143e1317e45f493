{{/* (list $ cache|index redis): arguments of redis-server */}}
{{- define "searchmesh.redisArgs" -}}
{{- $root := index . 0 -}}{{- $redis := index . 2 -}}
{{- if $redis.existingSecret }}
- --requirepass
- $(REDISCLI_AUTH)
{{- end }}
- --maxmemory
- {{ $redis.maxmemory }}
{{- if eq (index . 1) "cache" }}
- --maxmemory-policy
- allkeys-lfu
- --appendonly
- "no"
{{- else }}
# An eviction would be a silent loss of documents.
- --maxmemory-policy
- noeviction
- --appendonly
- "yes"
- --appendfsync
- everysec
{{- end }}
# Snapshots would fork the whole memory every few minutes.
- --save
- ""
{{- if $root.Values.tls.enabled }}
- --port
- "0"
- --tls-port
- "6379"
- --tls-cert-file
- /run/tls/tls.crt
- --tls-key-file
- /run/tls/tls.key
- --tls-ca-cert-file
- /run/tls/ca.crt
{{- end }}
{{- end }}

{{/* (list $ redis): the password, under the name that redis-cli reads it from */}}
{{- define "searchmesh.redisCliEnv" -}}
- {name: SKIP_FIX_PERMS, value: "1"}
{{- with (index . 1).existingSecret }}
- name: REDISCLI_AUTH
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- end }}

{{- define "searchmesh.redisPing" -}}
redis-cli{{ if .Values.tls.enabled }} --tls --cert /run/tls/tls.crt --key /run/tls/tls.key --cacert /run/tls/ca.crt{{ end }} ping | grep -q PONG
{{- end }}

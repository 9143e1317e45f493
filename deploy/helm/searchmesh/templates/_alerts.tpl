{{/* dict root name severity for expr summary [of: what it is about, where a rule is made for each] */}}
{{- define "searchmesh.alert" }}
- alert: {{ .name }}
  expr: {{ .expr | squote }}
  {{- with .for }}
  for: {{ . }}
  {{- end }}
  labels: {severity: {{ .severity }}, namespace: {{ .root.Release.Namespace }}{{ with .of }}, component: {{ . }}{{ end }}}
  annotations:
    summary: {{ .summary | squote }}
    runbook_url: {{ .root.Values.observability.prometheusRule.runbook }}#{{ lower .name }}
{{- end }}

{{- define "searchmesh.alertingRules" -}}
{{- $namespace := .Release.Namespace -}}
{{- $limits := .Values.observability.prometheusRule -}}
{{- $pattern := printf "%s-.+-headless" (include "searchmesh.fullname" .) -}}
{{- $ours := printf "namespace=\"%s\",service=~\"%s\"" $namespace $pattern -}}
- name: searchmesh.services
  rules:
    {{- range $name, $service := include "searchmesh.services" . | fromYaml }}
    {{- $headless := printf "%s-headless" (include "searchmesh.name" (list $ $name)) }}
    {{- include "searchmesh.alert" (dict "root" $ "of" $name "name" "SearchmeshServiceDown" "severity" "critical" "for" "2m"
        "expr" (printf "absent(up{namespace=\"%s\",service=\"%s\"} == 1)" $namespace $headless)
        "summary" (printf "No pod of %s answers." $headless)) | nindent 4 }}
    {{- with index $limits.p99Seconds $name }}
    {{- include "searchmesh.alert" (dict "root" $ "of" $name "name" "SearchmeshSlow" "severity" "warning" "for" "10m"
        "expr" (printf "searchmesh:duration_seconds:p99{namespace=\"%s\",service=\"%s\"} > %v" $namespace $headless .)
        "summary" (printf "p99 of %s is {{ $value | humanizeDuration }}, the limit is %v s." $headless .)) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshErrors" "severity" "critical" "for" "5m"
        "expr" (printf "searchmesh:errors:ratio5m{%s} > %v" $ours $limits.errorRatio)
        "summary" "{{ $value | humanizePercentage }} of the calls of {{ $labels.service }} fail.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshShedding" "severity" "warning" "for" "10m"
        "expr" (printf "searchmesh:shed:ratio5m{%s} > %v" $ours $limits.shedRatio)
        "summary" "{{ $labels.service }} refuses {{ $value | humanizePercentage }} of its calls because of load.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshQueriesWait" "severity" "warning" "for" "5m"
        "expr" (printf "max by (namespace, service, pool) (min_over_time(inference_pool_oldest_age_seconds{%s,lane=\"interactive\"}[1m])) > %v" $ours $limits.oldestQuerySeconds)
        "summary" "Queries wait {{ $value | humanizeDuration }} for model {{ $labels.pool }} in {{ $labels.service }}.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshTextsWait" "severity" "warning" "for" "5m"
        "expr" (printf "sum by (namespace, service, pool) (min_over_time(generation_waiting{%s}[1m])) > 0" $ours)
        "summary" "{{ $value }} texts wait for a slot of model {{ $labels.pool }} in {{ $labels.service }}.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshSearchesDegraded" "severity" "warning" "for" "10m"
        "expr" (printf "sum by (namespace, stage, reason) (rate(router_degraded_total{%s}[5m])) / ignoring (stage, reason) group_left () sum by (namespace) (rate(grpc_server_duration_seconds_count{%s,method=\"searchmesh.v1.Router/Search\"}[5m])) > %v" $ours $ours $limits.degradedRatio)
        "summary" "{{ $value | humanizePercentage }} of searches go without stage {{ $labels.stage }} ({{ $labels.reason }}).") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshCacheBypassed" "severity" "warning" "for" "5m"
        "expr" (printf "sum by (namespace, service) (rate(embedding_cache_rows_total{%s,result=\"bypassed\"}[5m])) / sum by (namespace, service) (rate(embedding_cache_rows_total{%s}[5m])) > 0.5" $ours $ours)
        "summary" "{{ $labels.service }} does without its cache.") | nindent 4 }}
- name: searchmesh.pools
  rules:
    {{- range $name, $pool := include "searchmesh.pools" . | fromYaml }}
    {{- $service := include "searchmesh.tritonService" (list $ $name) }}
    {{- $selector := printf "{namespace=\"%s\",service=\"%s\"}" $namespace $service }}
    {{- if int $pool.autoscaling.minReplicas }}
    {{- include "searchmesh.alert" (dict "root" $ "of" (printf "triton-%s" $name) "name" "SearchmeshPoolDown" "severity" "critical" "for" "2m"
        "expr" (printf "searchmesh:pool_ready%s == 0" $selector)
        "summary" (printf "No tritonserver of pool %s answers." $name)) | nindent 4 }}
    {{- end }}
    {{- if include "searchmesh.measured" $pool }}
    {{- $most := ternary $pool.autoscaling.maxReplicas $pool.replicas (and $pool.autoscaling.enabled (ne $.Values.autoscaling.backend "none")) }}
    {{- include "searchmesh.alert" (dict "root" $ "of" (printf "triton-%s" $name) "name" "SearchmeshPoolTooSmall" "severity" "warning" "for" "10m"
        "expr" (printf "searchmesh:pool_demand%s > %v * %v" $selector $most $pool.autoscaling.targetUtilization)
        "summary" (printf "Pool %s is offered the work of {{ $value | humanize }} pods and may have %v." $name $most)) | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" $ "of" (printf "triton-%s" $name) "name" "SearchmeshScalingBlind" "severity" "warning" "for" "10m"
        "expr" (printf "absent(searchmesh:pool_demand%s)" $selector)
        "summary" (printf "The signal that scales pool %s is missing; it keeps its size." $name)) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshTritonFailing" "severity" "critical" "for" "5m"
        "expr" (printf "sum by (namespace, service, model) (rate(nv_inference_request_failure{%s,reason=~\"BACKEND|OTHER\"}[5m])) > 0.01 * sum by (namespace, service, model) (rate(nv_inference_request_success{%s}[5m]))" $ours $ours)
        "summary" "tritonserver fails requests of model {{ $labels.model }}.") | nindent 4 }}
- name: searchmesh.state
  rules:
    {{- $redis := printf "namespace=\"%s\",service=~\"%s-redis-.+\"" $namespace (include "searchmesh.fullname" .) }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshRedisDown" "severity" "critical" "for" "1m"
        "expr" (printf "redis_up{%s} == 0" $redis)
        "summary" "{{ $labels.service }} does not answer.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshIndexFull" "severity" "warning" "for" "10m"
        "expr" (printf "redis_memory_used_bytes{namespace=\"%s\",service=\"%s-redis-index\"} / (redis_memory_max_bytes > 0) > 0.85" $namespace (include "searchmesh.fullname" .))
        "summary" "The index uses {{ $value | humanizePercentage }} of its memory; full, it refuses documents.") | nindent 4 }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshIndexEvicts" "severity" "critical"
        "expr" (printf "increase(redis_evicted_keys_total{namespace=\"%s\",service=\"%s-redis-index\"}[10m]) > 0" $namespace (include "searchmesh.fullname" .))
        "summary" "The index loses documents: its Redis evicts keys.") | nindent 4 }}
    {{- if .Values.jobs.indexBackup.enabled }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshBackupOld" "severity" "warning" "for" "1h"
        "expr" (printf "time() - kube_cronjob_status_last_successful_time{namespace=\"%s\",cronjob=\"%s-index-backup\"} > 2 * 86400" $namespace (include "searchmesh.fullname" .))
        "summary" "The last good copy of the index is {{ $value | humanizeDuration }} old.") | nindent 4 }}
    {{- end }}
    {{- if or .Values.jobs.models.enabled .Values.jobs.engines }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshModelJobFailed" "severity" "warning"
        "expr" (printf "kube_job_status_failed{namespace=\"%s\",job_name=~\"%s-(models|engines)-.+\"} > 0 unless kube_job_status_succeeded > 0" $namespace (include "searchmesh.fullname" .))
        "summary" "Job {{ $labels.job_name }} failed: the repository lacks what it should have made.") | nindent 4 }}
    {{- end }}
    {{- if and .Values.tls.enabled (eq .Values.tls.mode "certManager") }}
    {{- include "searchmesh.alert" (dict "root" . "name" "SearchmeshCertificateExpires" "severity" "warning" "for" "1h"
        "expr" (printf "certmanager_certificate_expiration_timestamp_seconds{namespace=\"%s\",name=~\"%s-.+\"} - time() < 21 * 86400" $namespace (include "searchmesh.fullname" .))
        "summary" "Certificate {{ $labels.name }} expires in {{ $value | humanizeDuration }}.") | nindent 4 }}
    {{- end }}
{{- end }}

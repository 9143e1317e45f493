{{/* What scaling by prometheus-adapter and the dashboards read */}}
{{- define "searchmesh.recordingRules" -}}
{{- $namespace := .Release.Namespace -}}
{{- $ours := printf "namespace=\"%s\",service=~\"%s-.+-headless\"" $namespace (include "searchmesh.fullname" .) -}}
- name: searchmesh.scaling
  interval: 15s
  rules:
    {{- range $name, $service := include "searchmesh.services" . | fromYaml }}
    - record: searchmesh:in_flight
      expr: {{ include "searchmesh.inFlight" (list $ $name) | squote }}
      labels: {namespace: {{ $namespace }}, service: {{ include "searchmesh.name" (list $ $name) }}-headless}
    {{- end }}
    {{- range $name, $pool := include "searchmesh.pools" . | fromYaml }}
    {{- $service := include "searchmesh.tritonService" (list $ $name) }}
    - record: searchmesh:pool_ready
      expr: {{ include "searchmesh.ready" (list $ $service) | squote }}
      labels: {namespace: {{ $namespace }}, service: {{ $service }}}
    {{- if include "searchmesh.measured" $pool }}
    - record: searchmesh:pool_demand
      expr: {{ include "searchmesh.demand" (list $ $name $pool) | squote }}
      labels: {namespace: {{ $namespace }}, service: {{ $service }}}
    - record: searchmesh:pool_backlog
      expr: {{ include "searchmesh.backlog" (list $ $name $pool) | squote }}
      labels: {namespace: {{ $namespace }}, service: {{ $service }}}
    {{- end }}
    {{- end }}
- name: searchmesh.overview
  rules:
    - record: searchmesh:calls:rate5m
      expr: 'sum by (namespace, service, code) (rate(grpc_server_duration_seconds_count{ {{- $ours -}} }[5m]))'
    # Failures of ours; what a caller did wrong, gave up, or was asked to retry later is not among them.
    - record: searchmesh:errors:ratio5m
      expr: '(sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} ,code=~"UNAVAILABLE|INTERNAL|UNKNOWN|DATA_LOSS"}) or 0 * sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} })) / (sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} }) > 0)'
    # Without streams: an indexing job of an hour is not a slow call.
    - record: searchmesh:duration_seconds:p99
      expr: 'histogram_quantile(0.99, sum by (namespace, service, le) (rate(grpc_server_duration_seconds_bucket{ {{- $ours -}} ,method!~".*/(Index|EmbedStream|List)"}[5m])))'
    - record: searchmesh:shed:ratio5m
      expr: '(sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} ,code="RESOURCE_EXHAUSTED"}) or 0 * sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} })) / (sum by (namespace, service) (searchmesh:calls:rate5m{ {{- $ours -}} }) > 0)'
    - record: searchmesh:cache_answered:ratio5m
      expr: 'sum by (namespace, service) (rate(embedding_cache_rows_total{ {{- $ours -}} ,result=~"near|hit"}[5m])) / sum by (namespace, service) (rate(embedding_cache_rows_total{ {{- $ours -}} }[5m]) > 0)'
    # Share of time that an instance computes. infer_duration is added once a request with the time of its whole batch,
    # so its plain rate is concurrency; executions × mean time of a batch is not.
    - record: searchmesh:triton_busy
      expr: 'sum by (namespace, service, pod, model) (rate(nv_inference_exec_count{ {{- $ours -}} }[5m])) * sum by (namespace, service, pod, model) (rate(nv_inference_compute_infer_duration_us{ {{- $ours -}} }[5m])) / (sum by (namespace, service, pod, model) (rate(nv_inference_request_success{ {{- $ours -}} }[5m])) > 0) / 1e6'
    - record: searchmesh:batch_rows:mean
      expr: 'sum by (namespace, service, pool) (rate(inference_pool_batch_rows_total{ {{- $ours -}} }[5m])) / sum by (namespace, service, pool) (rate(inference_pool_batch_duration_seconds_count{ {{- $ours -}} }[5m]) > 0)'
{{- end }}

{{/* pool: non-empty if its capacity is known */}}
{{- define "searchmesh.measured" -}}
{{- if or .autoscaling.itemsPerSecondPerPod .autoscaling.slotsPerPod }}yes{{ end -}}
{{- end }}

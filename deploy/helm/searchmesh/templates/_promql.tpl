{{/*
The scaling formulas, each once: KEDA asks them, the recording rules store them, promtool tests them.
Metrics of the services carry `service`, the headless Service that Prometheus scraped.
*/}}

{{/* (list $ pool-name): regular expression of the Services whose pods call a pool */}}
{{- define "searchmesh.callers" -}}
{{- $root := index . 0 -}}{{- $pool := index . 1 -}}{{- $names := list -}}
{{- range $name, $service := include "searchmesh.services" $root | fromYaml -}}
{{- if has $pool $service.pools }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{ include "searchmesh.fullname" $root }}-({{ join "|" $names }})-headless
{{- end }}

{{/*
(list $ pool-name pool): offered work, in pods of the pool. Counted by the services after the cache and before shedding:
what was served saturates at the capacity, what was offered does not. Where models generate, that is the texts that are
written and that wait for a slot.
A model that nobody has called yet counts 0, but only while a caller is scraped: a Prometheus that has lost the services
must give no answer, not 0, which would scale in.
*/}}
{{- define "searchmesh.demand" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $pool := index . 2 -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $callers := include "searchmesh.callers" (list $root $name) -}}
{{- $none := printf "0 * max(up{namespace=\"%s\",service=~\"%s\"} == 1)" $namespace $callers -}}
{{- if $pool.autoscaling.slotsPerPod -}}
{{- $texts := printf "{namespace=\"%s\",service=~\"%s\",pool=~\"%s\"}[1m]" $namespace $callers (join "|" $pool.models) -}}
(sum(max_over_time(generation_in_flight{{ $texts }})) + sum(max_over_time(generation_waiting{{ $texts }})) or {{ $none }}) / {{ $pool.autoscaling.slotsPerPod }}
{{- else -}}
{{- $terms := list -}}
{{- range $model := $pool.models -}}
{{- $rate := required (printf "triton.pools.%s.autoscaling.itemsPerSecondPerPod has no figure for %s: measure it with `searchmesh bench capacity`, or set triton.pools.%s.autoscaling.enabled=false" $name $model $name) (index $pool.autoscaling.itemsPerSecondPerPod $model) -}}
{{- $offered := printf "sum(rate(inference_pool_items_offered_total{namespace=\"%s\",service=~\"%s\",pool=\"%s\"}[1m]))" $namespace $callers $model -}}
{{- $terms = append $terms (printf "(%s or %s) / %v" $offered $none $rate) -}}
{{- end -}}
{{ join " + " $terms }}
{{- end }}
{{- end }}

{{/*
(list $ pool-name pool): pods that the backlog asks for, batches in Triton and tokens in the services together. At most one
more than are ready: while new pods load, a queue grows for a reason that more pods do not cure.
*/}}
{{- define "searchmesh.backlog" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $scaling := (index . 2).autoscaling -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $callers := include "searchmesh.callers" (list $root $name) -}}
{{- $none := printf "0 * max(up{namespace=\"%s\",service=~\"%s\"} == 1)" $namespace $callers -}}
{{- $triton := include "searchmesh.tritonService" (list $root $name) -}}
clamp_max(ceil((sum(avg_over_time(nv_inference_pending_request_count{namespace="{{ $namespace }}",service="{{ $triton }}"}[30s])) or {{ $none }}) / {{ $scaling.pendingPerPod }} + (sum(avg_over_time(inference_pool_queued_tokens{namespace="{{ $namespace }}",service=~"{{ $callers }}",pool=~"{{ join "|" (index . 2).models }}"}[30s])) or {{ $none }}) / {{ $scaling.queuedTokensPerPod | int }}), scalar({{ include "searchmesh.ready" (list $root $triton) }}) + 1)
{{- end }}

{{/* (list $ service-name): pods that Prometheus reaches; 0 where there is none */}}
{{- define "searchmesh.ready" -}}
count(up{namespace="{{ (index . 0).Release.Namespace }}",service="{{ index . 1 }}"} == 1) or vector(0)
{{- end }}

{{/* (list $ pool-name): the Service whose endpoints Prometheus scrapes */}}
{{- define "searchmesh.tritonService" -}}
{{ include "searchmesh.name" (list (index . 0) (printf "triton-%s" (index . 1))) }}-headless
{{- end }}

{{/* (list $ service-name): calls that a service works on, at their highest within a minute */}}
{{- define "searchmesh.inFlight" -}}
sum(max_over_time(grpc_server_in_flight{namespace="{{ (index . 0).Release.Namespace }}",service="{{ include "searchmesh.name" . }}-headless"}[1m]))
{{- end }}

{{/* (list $ name pool): tritonserver's arguments, without the restrictions that need the admin key */}}
{{- define "searchmesh.tritonArgs" -}}
{{- $root := index . 0 -}}{{- $pool := index . 2 -}}{{- $values := $root.Values -}}
{{- if eq $values.modelRepository.mode "s3" }}
- --model-repository={{ required "modelRepository.mode is s3: set modelRepository.s3.url" $values.modelRepository.s3.url }}
{{- else }}
- --model-repository=/models
{{- end }}
- --model-control-mode=explicit
{{- range $pool.models }}
- --load-model={{ . }}
{{- end }}
{{- with $pool.engine }}
{{- if not (hasKey $values.jobs.engines .) }}
{{- fail (printf "a pool runs engine %q, which jobs.engines does not have" .) }}
{{- end }}
- --model-config-name={{ . }}
{{- end }}
- --strict-readiness=true
- --exit-on-error=true
- --disable-auto-complete-config
- --exit-timeout-secs={{ $values.drain.graceSeconds }}
- --grpc-max-connection-age={{ mul 1000 (int $values.grpc.maxConnectionAgeSeconds) }}
- --grpc-max-connection-age-grace={{ mul 1000 (int $values.grpc.maxConnectionAgeGraceSeconds) }}
# The services ping every 30 s; Triton's default of 5 minutes would answer that by closing the connection.
- --grpc-http2-min-recv-ping-interval-without-data=5000
- --grpc-infer-response-compression-level=none
- --metrics-config=histogram_latencies=true
{{- if $values.tls.enabled }}
- --grpc-use-ssl=true
- --grpc-use-ssl-mutual=true
- --grpc-server-cert=/run/tls/tls.crt
- --grpc-server-key=/run/tls/tls.key
- --grpc-root-cert=/run/tls/ca.crt
{{- end }}
{{- with $values.observability.otlpEndpoint }}
- --trace-config=mode=opentelemetry
- --trace-config=opentelemetry,url={{ trimSuffix "/" . }}/v1/traces
- --trace-config=opentelemetry,resource=service.name=triton
# None of its own: what a service has sampled comes with a traceparent, and is recorded at any rate.
- --trace-config=rate=0
- --trace-config=level=TIMESTAMPS
{{- end }}
{{- with $pool.args }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list $ name pool): HPA or ScaledObject of a pool: offered work, and the capped backlog */}}
{{- define "searchmesh.poolScaler" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $pool := index . 2 -}}
{{- $scaling := $pool.autoscaling -}}
{{- /* It says what is missing, also where another object asks for it. */ -}}
{{- $demand := include "searchmesh.demand" . }}
{{- if not (int $scaling.minReplicas) }}
{{- if $scaling.slotsPerPod }}
{{- fail (printf "triton.pools.%s generates, and texts do not wait for a pod that is not there: set triton.pools.%s.autoscaling.minReplicas to 1 or more" $name $name) }}
{{- end }}
{{- range $service, $own := include "searchmesh.services" $root | fromYaml }}
{{- if and $own.pools (eq (toString (first $own.pools)) $name) }}
{{- fail (printf "services.%s is not ready without its default model: set triton.pools.%s.autoscaling.minReplicas to 1 or more" $service $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $named := dict "root" $root "component" (printf "triton-%s" $name) "scaling" $scaling "gpu" true }}
---
{{- if eq $root.Values.autoscaling.backend "keda" }}
{{ include "searchmesh.scaledObject" $named }}
  triggers:
    {{- include "searchmesh.trigger" (dict "root" $root "query" $demand "threshold" $scaling.targetUtilization) | nindent 4 }}
    {{- include "searchmesh.trigger" (dict "root" $root "query" (include "searchmesh.backlog" .) "threshold" 1) | nindent 4 }}
{{- else }}
{{ include "searchmesh.hpa" $named }}
  metrics:
    - type: External
      external:
        metric:
          name: searchmesh_pool_demand
          selector: {matchLabels: {service: {{ include "searchmesh.tritonService" . }}}}
        target: {type: AverageValue, averageValue: {{ mulf 1000 $scaling.targetUtilization | int }}m}
    - type: External
      external:
        metric:
          name: searchmesh_pool_backlog
          selector: {matchLabels: {service: {{ include "searchmesh.tritonService" . }}}}
        target: {type: AverageValue, averageValue: "1"}
{{- end }}
{{- end }}

{{/* (list $ name service): environment of a service: where its neighbours are, then its own settings */}}
{{- define "searchmesh.serviceEnv" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $service := index . 2 -}}
{{- $values := $root.Values -}}
- {name: SEARCHMESH_HOST, value: 0.0.0.0}
- {name: SEARCHMESH_PORT, value: {{ $service.port | int | quote }}}
- {name: SEARCHMESH_MAX_CONNECTION_AGE_S, value: {{ $values.grpc.maxConnectionAgeSeconds | quote }}}
- {name: SEARCHMESH_MAX_CONNECTION_AGE_GRACE_S, value: {{ $values.grpc.maxConnectionAgeGraceSeconds | quote }}}
- {name: SEARCHMESH_DRAIN_GRACE_S, value: {{ $values.drain.graceSeconds | quote }}}
- {name: SEARCHMESH_LOG_LEVEL, value: {{ $values.observability.logLevel }}}
{{- with $values.observability.otlpEndpoint }}
- {name: SEARCHMESH_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: SEARCHMESH_TRACE_SAMPLE_RATIO, value: {{ $values.observability.sampleRatio | quote }}}
{{- end }}
{{- if eq $name "router" }}
{{ include "searchmesh.redisUrl" (list $root "index") }}
{{- end }}
{{- $called := dig $name list (include "searchmesh.calls" $root | fromYaml) }}
{{- range $other, $settings := include "searchmesh.services" $root | fromYaml }}
{{- if has $other $called }}
- {name: SEARCHMESH_{{ upper $other }}_TARGET, value: {{ include "searchmesh.target" (list $root $other (int $settings.port)) }}}
{{- end }}
{{- end }}
{{- if eq $name "embedding" }}
{{ include "searchmesh.redisUrl" (list $root "cache") }}
{{- end }}
{{- with $service.pools }}
{{- $first := first . }}
- {name: SEARCHMESH_MODEL_REPOSITORY, value: /models}
- {name: SEARCHMESH_TRITON_URL, value: {{ include "searchmesh.target" (list $root (printf "triton-%s" $first) 8001) }}}
- {name: SEARCHMESH_{{ ternary (upper $name) "DEFAULT" (has $name (list "reader" "vlm")) }}_MODEL, value: {{ default (first (index $values.triton.pools $first).models) $service.defaultModel }}}
{{- $routes := list }}
{{- range $pool := rest . }}
{{- range (index $values.triton.pools $pool).models }}
{{- $routes = append $routes (printf "%s=%s" . (include "searchmesh.target" (list $root (printf "triton-%s" $pool) 8001))) }}
{{- end }}
{{- end }}
{{- with $routes }}
- {name: SEARCHMESH_TRITON_ROUTES, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- if $service.internetEgress }}
- {name: SEARCHMESH_FETCH_ENABLED, value: "true"}
{{- end }}
{{- if $values.tls.enabled }}
- {name: SEARCHMESH_TLS_CERT, value: /run/tls/tls.crt}
- {name: SEARCHMESH_TLS_KEY, value: /run/tls/tls.key}
- {name: SEARCHMESH_TLS_CA, value: /run/tls/ca.crt}
{{- if and $service.exposed (not $values.tls.requireClientCertificates) }}
- {name: SEARCHMESH_TLS_CLIENT_AUTH, value: "false"}
{{- end }}
{{- end }}
{{- if and $service.exposed $values.apiKeys.existingSecret }}
- {name: SEARCHMESH_API_KEYS_FILE, value: /run/api-keys/{{ $values.apiKeys.key }}}
{{- end }}
{{- if and $called $values.apiKeys.existingSecret }}
{{ include "searchmesh.apiKey" $root }}
{{- end }}
{{- range $setting, $value := $service.settings }}
- {name: SEARCHMESH_{{ upper $setting }}, value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}}
{{- end }}
{{- with $service.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The key that the mesh's own calls to exposed services carry */}}
{{- define "searchmesh.apiKey" -}}
- name: SEARCHMESH_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.apiKeys.existingSecret }}, key: {{ .Values.apiKeys.meshKey }}}}
{{- end }}

{{/* Copies what the services read, without the graphs */}}
{{- define "searchmesh.cardsFromS3" -}}
{{- $s3 := .Values.modelRepository.s3 -}}
- name: cards
  image: {{ include "searchmesh.image" (list . $s3.syncImage) }}
  imagePullPolicy: {{ $s3.syncImage.pullPolicy }}
  # Triton writes an endpoint of its own into the URL; aws-cli wants it apart.
  {{- $url := required "modelRepository.mode is s3: set modelRepository.s3.url" $s3.url }}
  {{- $endpoint := regexFind "https?://[^/]+" $url }}
  command: [aws, s3, sync, {{ regexReplaceAll "https?://[^/]+/" $url "" | quote }}, /models, --no-progress, --exclude, "*/[0-9]*/*"{{ with $endpoint }}, --endpoint-url, {{ . | quote }}{{ end }}]
  env:
    - {name: HOME, value: /tmp}
    {{- include "searchmesh.s3Env" . | nindent 4 }}
  securityContext:
    {{- include "searchmesh.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* (list $ name service): HPA or ScaledObject of a service: its own CPU and its calls in flight */}}
{{- define "searchmesh.serviceScaler" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $scaling := (index . 2).autoscaling -}}
{{- $component := list $root $name }}
---
{{- if eq $root.Values.autoscaling.backend "keda" }}
{{ include "searchmesh.scaledObject" (dict "root" $root "component" $name "scaling" $scaling) }}
  triggers:
    - type: cpu
      metricType: Utilization
      metadata: {value: {{ $scaling.cpuPercent | quote }}, containerName: {{ $name }}}
    {{- if $scaling.inFlight }}
    {{- include "searchmesh.trigger" (dict "root" $root "query" (include "searchmesh.inFlight" $component) "threshold" $scaling.inFlight) | nindent 4 }}
    {{- end }}
{{- else }}
{{ include "searchmesh.hpa" (dict "root" $root "component" $name "scaling" $scaling) }}
  metrics:
    # The service's own container: a sidecar must not dilute it.
    - type: ContainerResource
      containerResource:
        name: cpu
        container: {{ $name }}
        target: {type: Utilization, averageUtilization: {{ $scaling.cpuPercent }}}
    {{- if $scaling.inFlight }}
    - type: External
      external:
        metric:
          name: searchmesh_in_flight
          selector: {matchLabels: {service: {{ include "searchmesh.name" $component }}-headless}}
        target: {type: AverageValue, averageValue: {{ $scaling.inFlight | quote }}}
    {{- end }}
{{- end }}
{{- end }}

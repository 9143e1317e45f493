{{/* Labels that every pod of the release has */}}
{{- define "searchmesh.release" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* (list $ from|to components ports): one rule between components */}}
{{- define "searchmesh.edge" -}}
{{- $root := index . 0 -}}
{{ index . 1 }}:
{{- range index . 2 }}
  - podSelector:
      matchLabels:
        {{- include "searchmesh.selector" (list $root .) | nindent 8 }}
{{- end }}
ports:
{{- range index . 3 }}
  - port: {{ int . }}
{{- end }}
{{- end }}

{{/* (list $ cache|index): rule to a Redis, in the release or wherever its URL points */}}
{{- define "searchmesh.redisEgress" -}}
{{- $root := index . 0 -}}
{{- $redis := ternary $root.Values.redisCache $root.Values.redisIndex (eq (index . 1) "cache") -}}
{{- if eq $redis.mode "standalone" -}}
{{ include "searchmesh.edge" (list $root "to" (list (printf "redis-%s" (index . 1))) (list 6379)) }}
{{- else -}}
ports: [{port: {{ $redis.port }}}]
{{- end }}
{{- end }}

{{/* What every service and tritonserver may call: the collector of traces */}}
{{- define "searchmesh.commonEgress" -}}
{{- if .Values.observability.otlpEndpoint -}}
- ports: [{port: {{ regexFind ":[0-9]+/?$" .Values.observability.otlpEndpoint | trimAll ":/" | default "4318" }}}]
{{- else -}}
[]
{{- end }}
{{- end }}

{{/* Rule to the public internet. The second wall: whoever fetches checks addresses itself. */}}
{{- define "searchmesh.internet" -}}
to:
  - ipBlock: {cidr: 0.0.0.0/0, except: {{ toJson .Values.networkPolicy.internetExcept }}}
  - ipBlock: {cidr: "::/0", except: {{ toJson .Values.networkPolicy.internetExcept6 }}}
ports: [{port: 80}, {port: 443}]
{{- end }}

{{/* dict root component ingress egress: rules of one component, added to the default */}}
{{- define "searchmesh.networkPolicy" }}
{{- $component := list .root .component }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "searchmesh.name" $component }}
  labels:
    {{- include "searchmesh.labels" $component | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "searchmesh.selector" $component | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with .ingress }}
  ingress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .egress }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Names and labels */}}

{{- define "searchmesh.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 30 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 30 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* (list $ component): what a selector matches; immutable, so nothing that a value changes */}}
{{- define "searchmesh.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "searchmesh.labels" -}}
{{- $root := index . 0 -}}
{{ include "searchmesh.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list $ component): name of a component's objects */}}
{{- define "searchmesh.name" -}}
{{ include "searchmesh.fullname" (index . 0) }}-{{ index . 1 }}
{{- end }}

{{/* (list $ image): registry/repository@digest or :tag */}}
{{- define "searchmesh.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end }}

{{/* Components: enabled services and pools with their defaults filled in, as YAML of name → values */}}

{{- define "searchmesh.services" -}}
{{- $services := dict -}}
{{- range $name, $own := .Values.services -}}
{{- $service := mergeOverwrite (deepCopy $.Values.serviceDefaults) $own -}}
{{- if $service.enabled -}}
{{- range $service.pools }}{{ if not (index $.Values.triton.pools .) }}
{{- fail (printf "services.%s.pools names %q, which triton.pools does not have" $name .) }}{{ end }}{{ end -}}
{{- if and (not $service.pools) (not (has $name (list "router" "reader"))) -}}
{{- fail (printf "services.%s needs a Triton pool: set services.%s.pools" $name $name) }}{{ end -}}
{{- $_ := set $services $name $service -}}
{{- end }}{{ end -}}
{{ toYaml $services }}
{{- end }}

{{/* Services and those that they call, where these are enabled, as YAML of name → names */}}
{{- define "searchmesh.calls" -}}
router: [embedding, reranker]
reader: [vlm]
{{- end }}

{{- define "searchmesh.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.triton.pools -}}
{{- if $own -}}
{{- $_ := set $pools $name (mergeOverwrite (deepCopy $.Values.triton.poolDefaults) $own) -}}
{{- end }}{{ end -}}
{{ toYaml $pools }}
{{- end }}

{{/* In-release Redis instances, as YAML of cache | index → values */}}
{{- define "searchmesh.redis" -}}
{{- $redis := dict -}}
{{- if eq .Values.redisCache.mode "standalone" }}{{ $_ := set $redis "cache" .Values.redisCache }}{{ end -}}
{{- if eq .Values.redisIndex.mode "standalone" }}{{ $_ := set $redis "index" .Values.redisIndex }}{{ end -}}
{{ toYaml $redis }}
{{- end }}

{{- define "searchmesh.repositoryClaim" -}}
{{ default (printf "%s-models" (include "searchmesh.fullname" .)) .Values.modelRepository.pvc.existingClaim }}
{{- end }}

{{/* (list $ component port): gRPC target that reaches every pod. Headless, because a ClusterIP pins a connection to one. */}}
{{- define "searchmesh.target" -}}
{{- $root := index . 0 -}}
dns:///{{ include "searchmesh.name" . }}-headless.{{ $root.Release.Namespace }}.svc:{{ index . 2 }}
{{- end }}

{{- define "searchmesh.gracePeriod" -}}
{{ add .Values.drain.preStopSeconds .Values.drain.graceSeconds .Values.drain.exitSeconds }}
{{- end }}

{{/* (list $ component): Secret with the component's certificate */}}
{{- define "searchmesh.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.tls.mode "existingSecret" -}}
{{ required "tls.mode is existingSecret: set tls.existingSecret" $root.Values.tls.existingSecret }}
{{- else -}}
{{ include "searchmesh.name" . }}-tls
{{- end }}
{{- end }}

{{/* (list $ cache|index): environment with the URL of a Redis; the password of one in the release is put in by Kubernetes */}}
{{- define "searchmesh.redisUrl" -}}
{{- $root := index . 0 -}}{{- $which := index . 1 -}}
{{- $redis := ternary $root.Values.redisCache $root.Values.redisIndex (eq $which "cache") -}}
{{- $url := $redis.url -}}
{{- if eq $redis.mode "standalone" }}
{{- with $redis.existingSecret }}
- name: {{ upper $which }}_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: password}
{{- end }}
{{- $password := ternary (printf ":$(%s_PASSWORD)@" (upper $which)) "" (not (empty $redis.existingSecret)) }}
{{- $host := printf "%s.%s.svc:6379/0" (include "searchmesh.name" (list $root (printf "redis-%s" $which))) $root.Release.Namespace }}
{{- $url = printf "redis://%s%s" $password $host }}
{{- if $root.Values.tls.enabled }}
{{- $url = printf "rediss://%s%s?ssl_ca_certs=/run/tls/ca.crt&ssl_certfile=/run/tls/tls.crt&ssl_keyfile=/run/tls/tls.key" $password $host }}
{{- end }}
{{- end }}
- name: SEARCHMESH_{{ upper $which }}_URL
{{- if and $redis.existingSecret (eq $redis.mode "external") }}
  valueFrom:
    secretKeyRef: {name: {{ $redis.existingSecret }}, key: url}
{{- else if eq $redis.mode "none" }}
  value: ""
{{- else }}
  value: {{ required (printf "set redis%s.url or redis%s.existingSecret, or redis%s.mode=standalone for a Redis in the release" (title $which) (title $which) (title $which)) $url }}
{{- end }}
{{- end }}

{{/* Pods: all of them meet the Pod Security Standard "restricted" */}}

{{- define "searchmesh.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* dict root component [own: values with nodeSelector … ] [user: uid] [account: false]: fields of any pod spec */}}
{{- define "searchmesh.pod" -}}
{{- $root := .root -}}{{- $own := default dict .own -}}
{{- $security := $root.Values.podSecurity -}}
serviceAccountName: {{ include "searchmesh.name" (list $root .component) }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ default $security.runAsUser .user | int }}
  runAsGroup: {{ default $security.runAsGroup .user | int }}
  fsGroup: {{ default $security.fsGroup .user | int }}
  # Changing the owner of a large volume at every start takes minutes.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with default $root.Values.priorityClassName $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $own.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{/* (list $ component): spread of a Deployment's pods, each rollout on its own */}}
{{- define "searchmesh.spread" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if $root.Values.topologySpread.enabled }}
topologySpreadConstraints:
{{- range $root.Values.topologySpread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "searchmesh.selector" (list $root $component) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}

{{/* (list $ readOnly): the volume with the model repository */}}
{{- define "searchmesh.repositoryVolume" -}}
{{- $root := index . 0 -}}{{- $repository := $root.Values.modelRepository -}}
- name: models
{{- if eq $repository.mode "pvc" }}
  persistentVolumeClaim: {claimName: {{ include "searchmesh.repositoryClaim" $root }}, readOnly: {{ index . 1 }}}
{{- else if eq $repository.mode "image" }}
  image:
    reference: {{ required "modelRepository.mode is image: set modelRepository.image.reference" $repository.image.reference }}
    pullPolicy: {{ $repository.image.pullPolicy }}
{{- else }}
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- end }}

{{/* What the credentials of an S3 repository are called in the environment of Triton and aws-cli alike */}}
{{- define "searchmesh.s3Env" -}}
{{- $s3 := .Values.modelRepository.s3 -}}
{{- with $s3.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- with $s3.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $s3.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* (list $ component) */}}
{{- define "searchmesh.disruptionBudget" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if $root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "searchmesh.name" . }}
  labels:
    {{- include "searchmesh.labels" . | nindent 4 }}
spec:
  # Not minAvailable: at one replica it would block every node drain.
  maxUnavailable: {{ $root.Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "searchmesh.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "searchmesh.serviceAccount" }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "searchmesh.name" . }}
  labels:
    {{- include "searchmesh.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

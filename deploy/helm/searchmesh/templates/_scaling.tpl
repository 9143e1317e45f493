{{/*
How scaling acts. Out: at once, doubling or two pods. In: slowly, because a pod that is missed costs its start time.
An External AverageValue is total ÷ target: pods that are still loading cannot distort it.
*/}}
{{- define "searchmesh.behaviour" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - {type: Percent, value: 100, periodSeconds: 30}
    - {type: Pods, value: 2, periodSeconds: 30}
scaleDown:
{{- if .gpu }}
  stabilizationWindowSeconds: 600
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- else }}
  stabilizationWindowSeconds: 300
  selectPolicy: Max
  policies:
    - {type: Percent, value: 10, periodSeconds: 60}
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end }}
{{- end }}

{{/* dict root component scaling [gpu]: an HPA up to its metrics */}}
{{- define "searchmesh.hpa" -}}
{{- $component := list .root .component -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "searchmesh.name" $component }}
  labels:
    {{- include "searchmesh.labels" $component | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "searchmesh.name" $component }}}
  minReplicas: {{ .scaling.minReplicas }}
  maxReplicas: {{ .scaling.maxReplicas }}
  behavior:
    {{- include "searchmesh.behaviour" . | nindent 4 }}
{{- end }}

{{/* dict root component scaling [gpu]: a ScaledObject up to its triggers */}}
{{- define "searchmesh.scaledObject" -}}
{{- $component := list .root .component -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ include "searchmesh.name" $component }}
  labels:
    {{- include "searchmesh.labels" $component | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ include "searchmesh.name" $component }}}
  pollingInterval: 15
  # Only from one pod to none: longer than a pod takes to start.
  cooldownPeriod: 900
  minReplicaCount: {{ .scaling.minReplicas }}
  maxReplicaCount: {{ .scaling.maxReplicas }}
  # Without Prometheus: keep what is there, or at least the minimum.
  fallback: {failureThreshold: 3, replicas: {{ max 1 (int .scaling.minReplicas) }}, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- include "searchmesh.behaviour" . | nindent 8 }}
{{- end }}

{{/* dict root query threshold: a Prometheus trigger. No answer is an error, never 0. */}}
{{- define "searchmesh.trigger" -}}
- type: prometheus
  metricType: AverageValue
  metadata:
    serverAddress: {{ required "autoscaling.backend is keda: set autoscaling.prometheusAddress" .root.Values.autoscaling.prometheusAddress }}
    query: {{ .query | squote }}
    threshold: {{ .threshold | quote }}
    # Anything offered wakes a pool that was scaled to nothing.
    activationThreshold: "0"
    ignoreNullValues: "false"
{{- end }}

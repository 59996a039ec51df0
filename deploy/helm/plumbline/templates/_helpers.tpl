{{/* The release's name is the application's: "plumbline" stays "plumbline", "eu" becomes "eu-plumbline". */}}
{{- define "plumbline.name" -}}
{{- if contains "plumbline" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-plumbline" .Release.Name }}{{ end -}}
{{- end }}

{{/* Labels that say what runs: (list . "api") */}}
{{- define "plumbline.selector" -}}
app.kubernetes.io/name: plumbline
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "plumbline.labels" -}}
{{ include "plumbline.selector" . }}
app.kubernetes.io/part-of: plumbline
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* (list . .Values.api.tag): a tag of its own, else everybody's image */}}
{{- define "plumbline.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- if index . 1 -}}
{{ $image.repository }}:{{ index . 1 }}
{{- else if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* A variable from a secret: (list "DATABASE_URL" .Values.secrets.databaseUrl) */}}
{{- define "plumbline.secret" -}}
- name: PLUMBLINE_{{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ (index . 1).name }}
      key: {{ (index . 1).key }}
{{- end }}

{{/* Settings as variables; what is empty is left to the program's default. */}}
{{- define "plumbline.settings" -}}
{{- range $name, $value := . }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
PLUMBLINE_{{ $name }}: {{ if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ int64 $value | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "plumbline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "plumbline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Longer than the drain that SIGTERM starts: a pod that is killed in it would only cost duplicates, but cost them. */}}
{{- define "plumbline.graceSeconds" -}}
{{- $drain := index . 0 | toString | trimSuffix "s" | int -}}
{{- add $drain (index . 1) 10 -}}
{{- end }}

{{- define "plumbline.spread" -}}
{{- if (index . 0).Values.topologySpread }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "plumbline.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{- define "plumbline.probes" -}}
# Alive also while it waits for its database: a restart would not help, and readiness tells. An API accepts events without
# its broker.
startupProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: {{ . | quote }}, port: admin }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
{{- end }}

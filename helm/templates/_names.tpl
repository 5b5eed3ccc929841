{{- define "idempotency-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Leaves room for suffixes such as `-admin`: a Service's name has 63 characters at most. */ -}}
{{- define "idempotency-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "idempotency-gateway.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- /* Never changes between upgrades: a Deployment's selector cannot. */ -}}
{{- define "idempotency-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "idempotency-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "idempotency-gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "idempotency-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /*
metadata of an object; takes `root`, and optionally `suffix`, `namespace`, `labels`, `annotations`.
Its own labels and annotations win over the common ones.
*/ -}}
{{- define "idempotency-gateway.metadata" -}}
{{- $root := .root -}}
name: {{ include "idempotency-gateway.fullname" $root }}{{ .suffix }}
namespace: {{ .namespace | default (include "idempotency-gateway.namespace" $root) }}
labels:
  {{- mergeOverwrite (include "idempotency-gateway.labels" $root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with mergeOverwrite (deepCopy $root.Values.commonAnnotations) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "idempotency-gateway.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry .Values.image.repository) .Values.image.repository (not (empty $registry)) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "idempotency-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.configMapName" -}}
{{- .Values.existingConfigMap | default (include "idempotency-gateway.fullname" .) -}}
{{- end -}}

{{- /* Empty when no Secret holds the token: the configuration has its own. */ -}}
{{- define "idempotency-gateway.adminSecretName" -}}
{{- if .Values.adminToken.existingSecret -}}
{{- .Values.adminToken.existingSecret -}}
{{- else if eq (include "idempotency-gateway.makesAdminSecret" .) "true" -}}
{{- include "idempotency-gateway.fullname" . }}-admin
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.makesAdminSecret" -}}
{{- and .Values.adminToken.create (not .Values.adminToken.existingSecret) (not (dig "admin" "token" "" (include "idempotency-gateway.given" . | fromYaml))) -}}
{{- end -}}

{{- /* Another name than the gateway's: the Services must not send requests to the test pod. */ -}}
{{- define "idempotency-gateway.testLabels" -}}
app.kubernetes.io/name: {{ include "idempotency-gateway.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

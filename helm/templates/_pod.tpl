{{- /* The pod template, the same for Deployment and StatefulSet. */ -}}
{{- define "idempotency-gateway.pod" -}}
{{- $embedded := eq (include "idempotency-gateway.isEmbedded" .) "true" -}}
metadata:
  {{- $checksum := dict -}}
  {{- if and (not .Values.existingConfigMap) (eq .Values.reload.mode "restart") -}}
  {{- $checksum = dict "checksum/config" (include "idempotency-gateway.config" . | sha256sum) -}}
  {{- end }}
  {{- with mergeOverwrite (deepCopy .Values.commonAnnotations) $checksum (tpl (toYaml .Values.podAnnotations) . | fromYaml) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- /* The selector's labels win: pods that lost them would be nobody's. The chart's version is left out, or it alone would restart them. */ -}}
    {{- mergeOverwrite (deepCopy .Values.commonLabels) (deepCopy .Values.podLabels) (include "idempotency-gateway.selectorLabels" . | fromYaml) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "idempotency-gateway.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "idempotency-gateway.graceSeconds" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "idempotency-gateway.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        - --config
        - /etc/idempotency-gateway/config/{{ .Values.configKey }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with include "idempotency-gateway.env" . }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ include "idempotency-gateway.httpPort" . }}
          protocol: TCP
        - name: admin
          containerPort: {{ include "idempotency-gateway.adminPort" . }}
          protocol: TCP
      {{- with include "idempotency-gateway.probe" (list "startupProbe" .Values.startupProbe "/healthz") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "idempotency-gateway.probe" (list "livenessProbe" .Values.livenessProbe "/healthz") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "idempotency-gateway.probe" (list "readinessProbe" .Values.readinessProbe "/readyz") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if .Values.lifecycle }}
      lifecycle:
        {{- toYaml .Values.lifecycle | nindent 8 }}
      {{- else if gt (int .Values.preStopSleepSeconds) 0 }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ int .Values.preStopSleepSeconds }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        {{- include "idempotency-gateway.mounts" . | nindent 8 }}
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "idempotency-gateway.volumes" . | nindent 4 }}
  {{- if not $embedded }}
  {{- with include "idempotency-gateway.spread" . }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $field := list "affinity" "nodeSelector" "tolerations" "priorityClassName" "runtimeClassName" "schedulerName" "hostAliases" "dnsPolicy" "dnsConfig" }}
  {{- with get $.Values $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "idempotency-gateway.env" -}}
{{- $env := list -}}
{{- if or .Values.caBundle.existingSecret .Values.caBundle.existingConfigMap -}}
{{- $env = append $env (dict "name" "NODE_EXTRA_CA_CERTS" "value" "/etc/idempotency-gateway/ca/ca.crt") -}}
{{- end -}}
{{- with .Values.extraEnv -}}
{{- $env = concat $env (tpl (toYaml .) $ | fromYamlArray) -}}
{{- end -}}
{{- with $env -}}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* (list FIELD PROBE PATH): the probe as given, asked of the admin port unless it brings its own handler; nothing when it is null. */ -}}
{{- define "idempotency-gateway.probe" -}}
{{- $probe := index . 1 -}}
{{- if $probe -}}
{{- if not (or $probe.httpGet $probe.tcpSocket $probe.exec $probe.grpc) -}}
{{- $probe = merge (dict "httpGet" (dict "path" (index . 2) "port" "admin")) $probe -}}
{{- end -}}
{{ index . 0 }}:
  {{- toYaml $probe | nindent 2 }}
{{- end -}}
{{- end -}}

{{- /* Whole folders and never a subPath: a file mounted by subPath stays as it was when the pod began, which would defeat hot reload and the rotation of secrets. */ -}}
{{- define "idempotency-gateway.mounts" -}}
- name: config
  mountPath: /etc/idempotency-gateway/config
  readOnly: true
{{- if include "idempotency-gateway.adminSecretName" . }}
- name: admin-token
  mountPath: /etc/idempotency-gateway/admin
  readOnly: true
{{- end }}
{{- if .Values.store.existingSecret }}
- name: store
  mountPath: /etc/idempotency-gateway/store
  readOnly: true
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/idempotency-gateway/tls
  readOnly: true
{{- end }}
{{- if or .Values.caBundle.existingSecret .Values.caBundle.existingConfigMap }}
- name: ca
  mountPath: /etc/idempotency-gateway/ca
  readOnly: true
{{- end }}
{{- if eq (include "idempotency-gateway.isEmbedded" .) "true" }}
- name: data
  mountPath: {{ .Values.persistence.mountPath }}
{{- end }}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- define "idempotency-gateway.volumes" -}}
- name: config
  configMap:
    name: {{ include "idempotency-gateway.configMapName" . }}
    items:
      - key: {{ .Values.configKey }}
        path: {{ .Values.configKey }}
{{- with include "idempotency-gateway.adminSecretName" . }}
- name: admin-token
  secret:
    secretName: {{ . }}
    items:
      - key: {{ $.Values.adminToken.key }}
        path: token
{{- end }}
{{- with .Values.store.existingSecret }}
- name: store
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.caBundle }}
{{- $items := list (dict "key" .key "path" "ca.crt") }}
{{- if .existingSecret }}
- name: ca
  secret:
    secretName: {{ .existingSecret }}
    items:
      {{- toYaml $items | nindent 6 }}
{{- else if .existingConfigMap }}
- name: ca
  configMap:
    name: {{ .existingConfigMap }}
    items:
      {{- toYaml $items | nindent 6 }}
{{- end }}
{{- end }}
{{- if eq (include "idempotency-gateway.isEmbedded" .) "true" }}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
{{- end }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.extraVolumes }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- /* pod-template-hash, so that a rollout's new pods are spread among themselves and not around the old ones. */ -}}
{{- define "idempotency-gateway.spread" -}}
{{- $selector := include "idempotency-gateway.selectorLabels" . | fromYaml -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $own := deepCopy . -}}
{{- if not (hasKey $own "labelSelector") -}}
{{- $_ := set $own "labelSelector" (dict "matchLabels" $selector) -}}
{{- if not (hasKey $own "matchLabelKeys") -}}
{{- $_ := set $own "matchLabelKeys" (list "pod-template-hash") -}}
{{- end -}}
{{- end -}}
{{- $constraints = append $constraints $own -}}
{{- end -}}
{{- with $constraints -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

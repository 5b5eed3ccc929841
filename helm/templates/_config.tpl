{{- /* `config` as a map, whether it was written in the values or comes as a text (`--set-file config=gateway.yaml`). */ -}}
{{- define "idempotency-gateway.given" -}}
{{- if kindIs "string" .Values.config -}}
{{- fromYaml .Values.config | toYaml -}}
{{- else -}}
{{- .Values.config | default dict | toYaml -}}
{{- end -}}
{{- end -}}

{{- /*
The configuration as the gateway reads it: `config`, and beneath it what a pod needs. What the user says wins.
*/ -}}
{{- define "idempotency-gateway.config" -}}
{{- $admin := dict "host" "0.0.0.0" -}}
{{- if include "idempotency-gateway.adminSecretName" . -}}
{{- $_ := set $admin "token" "file:/etc/idempotency-gateway/admin/token" -}}
{{- end -}}
{{- $server := dict -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $server "tls" (dict "cert" "/etc/idempotency-gateway/tls/tls.crt" "key" "/etc/idempotency-gateway/tls/tls.key") -}}
{{- end -}}
{{- $type := include "idempotency-gateway.storeType" . -}}
{{- $store := dict "type" $type -}}
{{- if eq $type "embedded" -}}
{{- $_ := set $store "path" .Values.persistence.mountPath -}}
{{- else if .Values.store.existingSecret -}}
{{- $_ := set $store "url" (printf "file:/etc/idempotency-gateway/store/%s" .Values.store.urlKey) -}}
{{- end -}}
{{- $beneath := dict "admin" $admin "store" $store -}}
{{- if $server -}}{{- $_ := set $beneath "server" $server -}}{{- end -}}
{{- mergeOverwrite $beneath (include "idempotency-gateway.given" . | fromYaml) | toYaml -}}
{{- end -}}

{{- /* A Secret with a URL means Redis; otherwise the gateway's own default. */ -}}
{{- define "idempotency-gateway.storeType" -}}
{{- if .Values.existingConfigMap -}}
{{- .Values.configFacts.store -}}
{{- else -}}
{{- dig "store" "type" (ternary "redis" "embedded" (not (empty .Values.store.existingSecret))) (include "idempotency-gateway.given" . | fromYaml) -}}
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.isEmbedded" -}}
{{- eq (include "idempotency-gateway.storeType" .) "embedded" -}}
{{- end -}}

{{- define "idempotency-gateway.httpPort" -}}
{{- if .Values.existingConfigMap -}}{{- int .Values.configFacts.httpPort -}}
{{- else -}}{{- int (dig "server" "port" 8080 (include "idempotency-gateway.given" . | fromYaml)) -}}{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.adminPort" -}}
{{- if .Values.existingConfigMap -}}{{- int .Values.configFacts.adminPort -}}
{{- else -}}{{- int (dig "admin" "port" 9090 (include "idempotency-gateway.given" . | fromYaml)) -}}{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.isTls" -}}
{{- if .Values.existingConfigMap -}}{{- .Values.configFacts.tls -}}
{{- else -}}{{- or (not (empty .Values.tls.existingSecret)) (not (empty (dig "server" "tls" dict (include "idempotency-gateway.given" . | fromYaml)))) -}}{{- end -}}
{{- end -}}

{{- /* Whole seconds of a duration (`250ms`, `30s`, `1h30m`, `7d`), rounded up. What only the gateway can read (`${NAME}`) counts as its default, 30. */ -}}
{{- define "idempotency-gateway.seconds" -}}
{{- $text := toString . -}}
{{- if eq $text "0" -}}
0
{{- else if regexMatch "^([0-9]+([.][0-9]+)?(ms|s|m|h|d))+$" $text -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9]+([.][0-9]+)?(ms|s|m|h|d)" $text -1 -}}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- else -}}
30
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.drainSeconds" -}}
{{- if .Values.existingConfigMap -}}{{- include "idempotency-gateway.seconds" .Values.configFacts.drainTimeout -}}
{{- else -}}{{- include "idempotency-gateway.seconds" (dig "server" "drainTimeout" "30s" (include "idempotency-gateway.given" . | fromYaml)) -}}{{- end -}}
{{- end -}}

{{- /* The longest an upstream may take, over all routes. */ -}}
{{- define "idempotency-gateway.upstreamSeconds" -}}
{{- if .Values.existingConfigMap -}}{{- include "idempotency-gateway.seconds" .Values.configFacts.upstreamTimeout -}}
{{- else -}}
{{- $config := include "idempotency-gateway.given" . | fromYaml -}}
{{- $default := dig "defaults" "upstream" "timeout" "30s" $config -}}
{{- $longest := 0 -}}
{{- range $config.routes -}}
{{- $longest = max $longest (include "idempotency-gateway.seconds" (dig "upstream" "timeout" $default .)) -}}
{{- end -}}
{{- $longest -}}
{{- end -}}
{{- end -}}

{{- define "idempotency-gateway.graceSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- $drain := int (include "idempotency-gateway.drainSeconds" .) -}}
{{- $upstream := int (include "idempotency-gateway.upstreamSeconds" .) -}}
{{- add (int .Values.preStopSleepSeconds) (max $drain $upstream) 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- /* Whether there are, or may be, several pods. */ -}}
{{- define "idempotency-gateway.isMany" -}}
{{- if eq (include "idempotency-gateway.isEmbedded" .) "true" -}}false
{{- else if .Values.autoscaling.enabled -}}{{- gt (int .Values.autoscaling.minReplicas) 1 -}}
{{- else if kindIs "invalid" .Values.replicaCount -}}true
{{- else -}}{{- gt (int .Values.replicaCount) 1 -}}
{{- end -}}
{{- end -}}

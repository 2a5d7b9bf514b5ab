{{/* Files of ../base and ../components that this release has, one a line. */}}
{{- define "lockstep.files" -}}
{{- $v := .Values -}}
base/redis.yaml
base/worker-operations.yaml
base/worker-rollback.yaml
base/beat.yaml
base/budgets.yaml
base/network.yaml
{{ if $v.flower.enabled }}base/flower.yaml{{ end }}
{{ if ne $v.redis.mode "own" }}components/external-redis/network.yaml{{ end }}
{{ if eq $v.redis.mode "sentinel" }}components/redis-sentinel/network.yaml{{ end }}
{{ if eq $v.autoscaling.by "hpa" }}components/hpa/autoscalers.yaml{{ end }}
{{ if eq $v.autoscaling.by "keda" }}components/keda/scaledobjects.yaml
components/keda/workers.yaml{{ end }}
{{ if $v.flower.ingress.enabled }}components/ingress/ingress.yaml{{ end }}
{{ if $v.flower.route.enabled }}components/route/route.yaml{{ end }}
{{ if $v.prometheus.enabled }}components/prometheus/network.yaml{{ end }}
{{ if $v.prometheus.operator }}components/prometheus-operator/monitor.yaml
components/prometheus-operator/rules.yaml{{ end }}
{{ if $v.toolbox }}components/toolbox/toolbox.yaml{{ end }}
{{ if $v.backup }}components/backup/backup.yaml{{ end }}
{{ if $v.mockCluster }}mock-cluster.yaml{{ end }}
{{- end }}

{{/* What workers are set to, as JSON. */}}
{{- define "lockstep.settings" -}}
{{- $all := dict -}}
{{- range $line := .Files.Lines "files/base/settings.env" -}}
{{- if and $line (not (hasPrefix "#" $line)) -}}
{{- $_ := set $all (regexFind "^[^=]+" $line) (regexReplaceAll "^[^=]+=" $line "") -}}
{{- end -}}
{{- end -}}
{{- if .Values.redis.tls }}{{ $_ := set $all "LOCKSTEP_REDIS_CA_FILE" "/etc/lockstep-redis-tls/ca.crt" }}{{ end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $all $name (toString $value) }}{{ end -}}
{{- toJson $all -}}
{{- end }}

{{/* What Redis reads, as JSON. */}}
{{- define "lockstep.redis-settings" -}}
{{- $all := dict "redis.conf" (.Files.Get "files/base/redis.conf") -}}
{{- with .Values.redis.config }}{{ $_ := set $all "more-own.conf" . }}{{ end -}}
{{- toJson $all -}}
{{- end }}

{{- define "lockstep.labels" -}}
app.kubernetes.io/part-of: lockstep
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The pod of `object`, which is changed in place: `component`, `root`. */}}
{{- define "lockstep.pod" -}}
{{- $v := .root.Values -}}
{{- $pod := .pod -}}
{{- $own := not (has .component (list "redis" "backup")) -}}
{{- range $key := list "priorityClassName" "nodeSelector" "tolerations" "imagePullSecrets" -}}
{{- with index $v $key }}{{ $_ := set $pod $key . }}{{ end -}}
{{- end -}}
{{- if $own -}}
{{- with $v.serviceAccount }}{{ if or .create .name }}{{ $_ := set $pod "serviceAccountName" (default "lockstep" .name) }}{{ end }}{{ end -}}
{{- end -}}
{{- $volumes := $pod.volumes -}}
{{- $container := first $pod.containers -}}
{{- $mounts := $container.volumeMounts -}}
{{- $env := default list $container.env -}}
{{- if $own -}}
{{- $_ := set $container "image" (printf "%s:%s" $v.image.repository (default .root.Chart.AppVersion $v.image.tag)) -}}
{{- with $v.image.pullPolicy }}{{ $_ := set $container "imagePullPolicy" . }}{{ end -}}
{{- $volumes = concat $volumes $v.extraVolumes -}}
{{- $mounts = concat $mounts $v.extraVolumeMounts -}}
{{- $env = concat $env $v.extraEnv -}}
{{- end -}}
{{- if and $v.redis.tls (or (ne .component "redis") (eq $v.redis.mode "own")) (ne .component "mock-cluster") -}}
{{- $file := list (dict "key" "ca.crt" "path" "ca.crt") -}}
{{- $secret := dict "secretName" "lockstep-redis-tls" "defaultMode" 0444 "items" $file -}}
{{- if eq .component "redis" -}}
{{- $server := .root.Files.Get "files/components/redis-tls/server.yaml" | fromYaml -}}
{{- $patch := first $server.spec.template.spec.containers -}}
{{- $_ := set $container "command" $patch.command -}}
{{- $env = concat $env $patch.env -}}
{{- $secret = (first $server.spec.template.spec.volumes).secret -}}
{{- else if eq .component "backup" -}}
{{- range $env }}{{ if eq .name "CLI_OPTIONS" }}{{ $_ := set . "value" "--tls --cacert /etc/lockstep-redis-tls/ca.crt" }}{{ end }}{{ end -}}
{{- end -}}
{{- $volumes = append $volumes (dict "name" "redis-tls" "secret" $secret) -}}
{{- $mounts = append $mounts (dict "name" "redis-tls" "mountPath" "/etc/lockstep-redis-tls" "readOnly" true) -}}
{{- end -}}
{{- if and (eq .component "redis") $v.backup -}}
{{- $volumes = append $volumes (dict "name" "backups" "persistentVolumeClaim" (dict "claimName" "redis-backups")) -}}
{{- $mounts = append $mounts (dict "name" "backups" "mountPath" "/backups") -}}
{{- end -}}
{{- with index $v.resources .component }}{{ $_ := set $container "resources" . }}{{ end -}}
{{- $_ := set $pod "volumes" $volumes -}}
{{- $_ := set $container "volumeMounts" $mounts -}}
{{- if $env }}{{ $_ := set $container "env" $env }}{{ end -}}
{{- end }}

{{/* Secrets by the names that they have here. */}}
{{- define "lockstep.secrets" -}}
{{- $text := .text -}}
{{- with .root.Values.secrets -}}
{{- range $known, $named := dict "lockstep-redis" .redis "lockstep-flower" .flower "lockstep-credentials" .credentials "lockstep-redis-tls" .redisTls -}}
{{- $text = regexReplaceAll (printf "(?m)((?:name|secretName): )%s$" $known) $text (printf "${1}%s" $named) -}}
{{- end -}}
{{- end -}}
{{- $text -}}
{{- end }}

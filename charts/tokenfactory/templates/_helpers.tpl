{{- define "tokenfactory.labels" -}}
app.kubernetes.io/name: tokenfactory-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tokenfactory.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* One environment variable for each setting that is not empty: logFormat is TOKENFACTORY_LOG_FORMAT. */ -}}
{{- define "tokenfactory.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if $value }}
- name: TOKENFACTORY_{{ $name | snakecase | upper }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}
{{- end }}

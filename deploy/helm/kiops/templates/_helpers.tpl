{{/* What is selected of a component. */}}
{{- define "kiops.selector" -}}
app.kubernetes.io/name: kiops
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of everything. */}}
{{- define "kiops.labels" -}}
{{ include "kiops.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | quote }}
{{- end }}

{{/* The pods of a component: they differ in what they are told to do. */}}
{{- define "kiops.pods" -}}
metadata:
  labels:
    {{- include "kiops.labels" . | nindent 4 }}
  annotations:
    # A changed configuration is a new revision.
    kiops.dev/config: {{ .root.Values.config | sha256sum | trunc 16 | quote }}
spec:
  serviceAccountName: {{ .root.Release.Name }}
  automountServiceAccountToken: {{ .root.Values.inCluster.enabled }}
  enableServiceLinks: false
  # Servers drain for five seconds and end within fifteen.
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile:
      type: RuntimeDefault
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "kiops.selector" $ | nindent 10 }}
    {{- end }}
  containers:
    - name: kiops
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        - name: KIOPS_DATABASE__URL
          valueFrom:
            secretKeyRef:
              name: {{ .root.Values.secretName }}
              key: database-url
        - name: KIOPS_BOOTSTRAP__ADMIN_PASSWORD
          valueFrom:
            secretKeyRef:
              name: {{ .root.Values.secretName }}
              key: admin-password
              optional: true
      ports:
        - name: http
          containerPort: 8080
      # It brings the database up to date before it answers.
      startupProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 2
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop:
            - ALL
      volumeMounts:
        - name: config
          mountPath: /etc/kiops/kiops.toml
          subPath: kiops.toml
          readOnly: true
        - name: secret
          mountPath: /etc/kiops/secret
          readOnly: true
        - name: work
          mountPath: /var/lib/kiops
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: config
      configMap:
        name: {{ .root.Release.Name }}
    - name: secret
      secret:
        secretName: {{ .root.Values.secretName }}
        # 0440: the pod reads it as its group.
        defaultMode: 288
        items:
          - key: secret.key
            path: secret.key
          # While the key is turned.
          - key: previous.key
            path: previous.key
        optional: true
    - name: work
      emptyDir:
        sizeLimit: {{ .workSize }}
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
{{- end }}

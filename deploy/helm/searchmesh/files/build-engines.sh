# Builds TensorRT engines on the GPU of this node and adds them to the models as the configuration "{{ .engine }}", beside
# those of other GPUs: tritonserver picks one by --model-config-name.
PATH="$PATH:/usr/src/tensorrt/bin"
for model in{{ range .models }} {{ . }}{{ end }}; do
  target="/models/$model"
  work="/scratch/$model"
  rm -rf "$work"
  cp -r "$target" "$work"
  "$work/build-plan.sh"
  mkdir -p "$target/configs"
  # Across volumes first, then a rename: a tritonserver that starts meanwhile never reads half an engine.
  mv "$work/1/model.plan" "$target/1/.{{ .engine }}.plan"
  mv "$target/1/.{{ .engine }}.plan" "$target/1/{{ .engine }}.plan"
  { echo 'default_model_filename: "{{ .engine }}.plan"'; cat "$work/config.plan.pbtxt"; } > "$target/configs/.{{ .engine }}"
  mv "$target/configs/.{{ .engine }}" "$target/configs/{{ .engine }}.pbtxt"
  rm -rf "$work"
done

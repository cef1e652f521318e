# Sourced by run.sh and test.sh: makes .venv from the requirements files, or leaves it when it is newer than they are.

make_environment() { # make_environment FILE…
  local file stamp
  if [ ! -x .venv/bin/python ]; then
    rm -rf .venv
    "${PYTHON:-python3}" -m venv .venv
  fi
  for file in "$@"; do
    stamp=".venv/.installed-$file"
    if [ ! -e "$stamp" ] || [ "$file" -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
      echo "installing $file into .venv" >&2
      # torch comes first and by itself, from the index that pip is set to: a CPU build there is far smaller.
      if [ "$file" = requirements.txt ]; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' requirements.txt)" >&2
      fi
      .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$file" >&2
      .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . >&2
      touch "$stamp"
    fi
  done
}

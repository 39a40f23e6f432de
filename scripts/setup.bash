# Sourced as .venv/setup.bash, from bash or zsh: gives the shell Python, ROS 2 and remote_sensing_tracking.
# ROS_DOMAIN_ID, the middleware and its profiles stay what the user or ROS 2 says.

if [ -n "${ZSH_VERSION:-}" ]; then
  eval '_rst_venv=${(%):-%x}'
else
  _rst_venv=${BASH_SOURCE[0]}
fi
_rst_venv=$(cd "$(dirname "$_rst_venv")" && pwd)
_rst_overlay=$_rst_venv/workspace/install/remote_sensing_tracking
_rst_python=$("$_rst_venv/bin/python" -I -S -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

_rst_prepend() {  # VARIABLE DIRECTORY: first in the colon-separated variable, and there only once
  eval "_rst_value=:\${$1:-}:"
  while case $_rst_value in *":$2:"*) true ;; *) false ;; esac; do
    _rst_value=${_rst_value%%":$2:"*}:${_rst_value#*":$2:"}
  done
  _rst_value=${_rst_value#:}
  _rst_value=${_rst_value%:}
  export "$1=$2${_rst_value:+:$_rst_value}"
}

export VIRTUAL_ENV=$_rst_venv ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=jazzy
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1  # the wheels' start-up hook would set LD_LIBRARY_PATH and start Python again
unset PYTHONHOME

for _rst_directory in "$_rst_venv/lib/$_rst_python/site-packages"/ros_*.libs; do
  _rst_prepend LD_LIBRARY_PATH "$_rst_directory"
done
for _rst_prefix in "$_rst_venv" "$_rst_overlay"; do
  _rst_prepend AMENT_PREFIX_PATH "$_rst_prefix"
  _rst_prepend CMAKE_PREFIX_PATH "$_rst_prefix"
  _rst_prepend LD_LIBRARY_PATH "$_rst_prefix/lib"
  _rst_prepend PYTHONPATH "$_rst_prefix/lib/$_rst_python/site-packages"
done
_rst_prepend PATH "$_rst_overlay/lib/remote_sensing_tracking"
_rst_prepend PATH "$_rst_venv/bin"

unset -f _rst_prepend
unset _rst_venv _rst_overlay _rst_python _rst_value _rst_directory _rst_prefix

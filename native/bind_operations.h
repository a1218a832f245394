// What native/bindings.cpp adds to the module from native/bind_operations.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace gpt2lab {

void bind_operations(nanobind::module_& m);

}  // namespace gpt2lab

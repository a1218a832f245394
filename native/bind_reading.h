// What native/bindings.cpp adds to the model's class from native/bind_reading.cpp.
#pragma once

#include <nanobind/nanobind.h>

#include "model.h"

namespace gpt2lab {

void bind_reading(nanobind::class_<Model>& model);

}  // namespace gpt2lab

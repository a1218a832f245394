# The tests of the kernels and of packing, as two programs: compiled as the wheel's engine is, and with sanitizers where the
# compiler has them. Included, not a directory of its own, because properties of source files hold for one directory.
include(CheckCXXSourceRuns)
find_package(Threads REQUIRED)

set(test_sources
  native/tests/main.cpp native/tests/harness.cpp native/tests/reference.cpp native/tests/products.cpp
  native/tests/float_products.cpp native/tests/integer_products.cpp native/tests/rows.cpp native/tests/attention.cpp
  native/tests/logits.cpp native/tests/training.cpp native/tests/packing.cpp native/tests/team.cpp native/tests/tiles_portable.cpp native/tests/emulator.cpp)
if(GPT2LAB_X86)
  list(APPEND test_sources native/tests/tiles_avx512.cpp)
  set_source_files_properties(native/tests/tiles_avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512}")
endif()
# What the wheel has is compiled as for the wheel (packing.cpp includes a file of it), the tests themselves quickly.
set(quick_sources ${test_sources})
list(REMOVE_ITEM quick_sources native/tests/packing.cpp)
set_property(SOURCE ${quick_sources} APPEND PROPERTY COMPILE_OPTIONS -O1)

function(add_kernel_tests name)
  add_executable(${name} EXCLUDE_FROM_ALL ${kernel_sources} native/threads.cpp ${test_sources})
  target_link_libraries(${name} PRIVATE Threads::Threads)
  target_compile_definitions(${name} PRIVATE ${kernel_definitions})
  target_compile_options(${name} PRIVATE ${engine_options} ${ARGN})
endfunction()

add_kernel_tests(kernel_tests -O3)

set(sanitizers -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all)
list(JOIN sanitizers " " CMAKE_REQUIRED_FLAGS)
check_cxx_source_runs("int main() { return 0; }" GPT2LAB_HAS_SANITIZERS)
if(GPT2LAB_HAS_SANITIZERS)
  add_kernel_tests(kernel_tests_sanitized -O1 -g1 ${sanitizers})
  target_link_options(kernel_tests_sanitized PRIVATE ${sanitizers})
endif()

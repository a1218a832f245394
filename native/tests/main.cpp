// Runs every test of the kernels, the packing and the threads once: kernel_tests [seed]. Exits with 1 when something did not hold.
#include <cstdio>
#include <cstdlib>

#include "tests.h"

int main(int count, char** arguments) {
  using namespace gpt2lab::tests;
  const unsigned long long seed = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1;
  Random random(seed);
  std::printf("seed %llu; kernels:", seed);
  for (const Table& table : tables()) std::printf(" %s%s", table.kernels->name, &table == &tables().back() ? "\n" : ",");
  test_float_products(random);
  test_activations(random);
  test_integer_products(random);
  test_rows(random);
  test_attention(random);
  test_training(random);
  test_logits(random);
  test_weights(random);
  test_team(random);
  return report.finish() ? 0 : 1;
}

// The tests; each reports what did not hold.
#pragma once

#include "harness.h"

namespace gpt2lab::tests {

void test_float_products(Random& random);    // float_products.cpp
void test_activations(Random& random);       // float_products.cpp
void test_integer_products(Random& random);  // integer_products.cpp
void test_rows(Random& random);              // rows.cpp
void test_attention(Random& random);         // attention.cpp
void test_training(Random& random);          // training.cpp
void test_logits(Random& random);            // logits.cpp
void test_weights(Random& random);           // packing.cpp
void test_team(Random& random);              // team.cpp

}  // namespace gpt2lab::tests

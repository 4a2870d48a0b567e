// A build without FlashInfer says so when it is asked for, and has the other forms.
#include <gmock/gmock.h>

#include "kernels/cuda/attention.h"

namespace uhd::cuda {
namespace {

using testing::ThrowsMessage;

TEST(NoFlashInfer, IsAnErrorAtStart) {
  EXPECT_THAT([] { attention_form("flashinfer"); },
              ThrowsMessage<Error>(
                  "backend.attention is flashinfer, but this build is without it: docs/gpu.md, Building"));
}

TEST(NoFlashInfer, LeavesTheOtherForms) {
  EXPECT_EQ(attention_form("auto"), AttentionForm::automatic);
  EXPECT_EQ(attention_form("plain"), AttentionForm::plain);
  EXPECT_THAT([] { attention_form("tiles"); },
              ThrowsMessage<Error>("backend.attention is 'tiles', but must be auto, plain or flashinfer"));
}

}  // namespace
}  // namespace uhd::cuda

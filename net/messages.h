// Reads the "messages" of a chat call as a conversation. Only the .cc files of net/ may include this header.
// Faults are thrown as ApiError.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "net/field_check.h"
#include "net/image_intake.h"
#include "net/json_fields.h"
#include "net/options.h"

namespace uhd {

// Counts images and text over the whole call: a call that cannot fit is refused before it is copied. Only
// where `sizes` are taken may a part be an image's size alone. `intake` is for images beside the body.
std::vector<Message> read_messages(const Fields& call, const ModelInfo& model, const NetOptions& limits,
                                   bool sizes, FieldCheck& known, const ImageIntake& intake);

// Refuses a text of more bytes than a prompt of this model can have.
void check_text_bytes(size_t bytes, const ModelInfo& model, const std::string& path);

}  // namespace uhd

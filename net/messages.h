// "messages" of a chat call to a conversation. For the .cc files of net/ only. Faults are thrown as ApiError.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "net/json_fields.h"
#include "net/options.h"

namespace uhd {

// Images are counted over the whole call, and so is text: what cannot fit is refused before it is copied.
std::vector<Message> read_messages(const Fields& call, const ModelInfo& model, const NetOptions& limits);

// A text of more bytes than a prompt of this model can have.
void check_text_bytes(size_t bytes, const ModelInfo& model, const std::string& path);

}  // namespace uhd

// Gives Unicode normal forms and character classes, in time linear in the text except for one sort.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace uhd {

enum class NormalForm : uint8_t { nfc, nfd, nfkc, nfkd };
std::string normal_form(std::string_view text, NormalForm form);  // `text` is valid UTF-8
std::string lowercase(std::string_view text);
std::string uppercase(std::string_view text);
std::string strip_accents(std::string_view text);  // drops nonspacing marks

bool is_space(uint32_t code_point);    // White_Space
bool is_word(uint32_t code_point);     // letter, mark, number, connector
bool is_number(uint32_t code_point);   // any of the N categories
bool is_decimal(uint32_t code_point);  // a decimal digit (Nd)
bool is_digit(uint32_t code_point);    // a decimal digit, or one raised, lowered or in a circle
bool is_letter(uint32_t code_point);   // L categories
bool is_lowercase(uint32_t code_point);
bool is_uppercase(uint32_t code_point);
bool is_punctuation(uint32_t code_point);  // P categories, and ASCII signs

}  // namespace uhd

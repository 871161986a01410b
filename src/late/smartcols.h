/* Functions of libsmartcols that are used, called through a table (late/late.h). */
#ifndef RFT_LATE_SMARTCOLS_H
#define RFT_LATE_SMARTCOLS_H

#include <libsmartcols.h>

#include "late/late.h"

#define RFT_SMARTCOLS_FUNCTIONS(X)                                                                 \
    X(smartcols, scols_cell_set_color)                                                             \
    X(smartcols, scols_column_get_header)                                                          \
    X(smartcols, scols_line_get_cell)                                                              \
    X(smartcols, scols_line_set_data)                                                              \
    X(smartcols, scols_new_table)                                                                  \
    X(smartcols, scols_print_table_to_string)                                                      \
    X(smartcols, scols_table_enable_colors)                                                        \
    X(smartcols, scols_table_enable_noencoding)                                                    \
    X(smartcols, scols_table_get_line)                                                             \
    X(smartcols, scols_table_new_column)                                                           \
    X(smartcols, scols_table_new_line)                                                             \
    X(smartcols, scols_table_set_column_separator)                                                 \
    X(smartcols, scols_table_set_termforce)                                                        \
    X(smartcols, scols_table_set_termwidth)                                                        \
    X(smartcols, scols_unref_table)

RFT_LATE_TABLE(smartcols, RFT_SMARTCOLS_FUNCTIONS);

#ifndef RFT_LATE_FILLS_TABLES
#define scols_cell_set_color rft_smartcols.scols_cell_set_color
#define scols_column_get_header rft_smartcols.scols_column_get_header
#define scols_line_get_cell rft_smartcols.scols_line_get_cell
#define scols_line_set_data rft_smartcols.scols_line_set_data
#define scols_new_table rft_smartcols.scols_new_table
#define scols_print_table_to_string rft_smartcols.scols_print_table_to_string
#define scols_table_enable_colors rft_smartcols.scols_table_enable_colors
#define scols_table_enable_noencoding rft_smartcols.scols_table_enable_noencoding
#define scols_table_get_line rft_smartcols.scols_table_get_line
#define scols_table_new_column rft_smartcols.scols_table_new_column
#define scols_table_new_line rft_smartcols.scols_table_new_line
#define scols_table_set_column_separator rft_smartcols.scols_table_set_column_separator
#define scols_table_set_termforce rft_smartcols.scols_table_set_termforce
#define scols_table_set_termwidth rft_smartcols.scols_table_set_termwidth
#define scols_unref_table rft_smartcols.scols_unref_table
#endif

#endif

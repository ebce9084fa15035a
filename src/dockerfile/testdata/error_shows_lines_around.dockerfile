FROM a

RUN one
RUN two
BAD three
RUN four

RUN five
